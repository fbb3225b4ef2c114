import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DataError } from "../../src/errors.js";
import { type HostTensor, type TensorDtype, viewElements } from "../../src/io/host-tensor.js";
import { writePth } from "../../src/io/pth/write-pth.js";
import { tensorsInMemory } from "../../src/io/tensor-file.js";
import { openWeights, readWeights } from "../../src/io/weights-file.js";

/** SHA-256 of what we make of files that PyTorch wrote; test/oracle/verify_checkpoints.py, which has PyTorch read them, prints these. */
const verified = [
  ["pth-state-dict.pth", "0219ef39ac4c8bb08b430d036451af06477e2376071358019a311e8a4b566307"],
  ["checkpoints/sam.pth", "7e8f1356197633fd014ce3ae9b02bcd218022951c9200c0c3c07eb4e5d631c7d"],
  ["checkpoints/medsam.pth", "8f74c188c71ff98ec98beb2a1a9718cacae3f13cb7affc231ffa96815382d838"],
  ["checkpoints/lora.pth", "7dbded637a14783d692f3d0c1132a0e9cec3061b9cc5b0b295151c77f8913ecc"],
  ["checkpoints/sam-hf.safetensors", "0bcdca53eb55b8c220596930b609a76dce21f356204c3749708e51a1f2e9f5cd"],
] as const;

describe("writePth", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-write-pth-"));
  });
  after(() => rm(folder, { recursive: true }));

  for (const [name, hash] of verified) {
    it(`writes ${name} in the bytes that PyTorch was seen to read`, async () => {
      const path = join(folder, "copy.pth");
      const input = join("test", "fixtures", name);
      await using file = await openWeights(input);
      await writePth(path, file);
      assert.deepEqual(await readWeights(path), await readWeights(input));
      assert.equal(
        createHash("sha256")
          .update(await readFile(path))
          .digest("hex"),
        hash,
      );
    });
  }

  it("gives back every element type, shape and name, storages on multiples of 64 bytes", async () => {
    const dtypes: TensorDtype[] = ["f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "bool"];
    const tensors = new Map<string, HostTensor>();
    for (const [i, dtype] of dtypes.entries()) {
      const shape = [[], [3], [2, 5], [0, 4], [300, 1, 7]][i % 5] ?? [];
      const count = shape.reduce((product, size) => product * size, 1);
      const data = viewElements(dtype, new ArrayBuffer(count * 8), 0, count);
      for (let k = 0; k < count; k += 1) data[k] = typeof data[k] === "bigint" ? BigInt(k) : k % 2;
      tensors.set(`${i}.${dtype} ü`, { dtype, shape, data });
    }
    const path = join(folder, "all.pth");
    await writePth(path, tensorsInMemory(tensors));
    assert.deepEqual([...(await readWeights(path))], [...tensors]);
    const bytes = await readFile(path);
    const marker = Buffer.from("archive/data/4");
    const at = bytes.indexOf(marker);
    assert.equal((at + marker.length + bytes.readUInt16LE(at - 2)) % 64, 0);
  });

  it("refuses a type that torch has no storage for, leaving nothing behind", async () => {
    const path = join(folder, "u32.pth");
    const tensors = new Map([["x", { dtype: "u32", shape: [1], data: new Uint32Array(1) } as const]]);
    await assert.rejects(
      writePth(path, tensorsInMemory(tensors)),
      (error) => error instanceof DataError && /received u32; write \.safetensors/.test(error.message),
    );
    assert.equal((await readdir(folder)).includes("u32.pth"), false);
  });
});
