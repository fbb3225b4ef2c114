import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DataError } from "../../src/errors.js";
import { type HostTensor, type TensorDtype, toFloat32, viewElements } from "../../src/io/host-tensor.js";
import { readSafetensors, readSafetensorsHeader, writeSafetensors } from "../../src/io/safetensors.js";

describe("safetensors", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-safetensors-"));
  });
  after(() => rm(folder, { recursive: true }));

  /** Writes a file with the given header text and number of data bytes, and reads it. */
  async function read(header: string | object, dataBytes: number) {
    const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const path = join(folder, "hand-made.safetensors");
    await writeFile(path, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
    return readSafetensors(path);
  }
  const f32 = (shape: number[], begin: number, end: number) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });

  it("returns every element type, shape and metadata as written, in equal bytes each time", async () => {
    const dtypes: TensorDtype[] = "f64 f32 f16 bf16 i64 u64 i32 u32 i16 u16 i8 u8 bool".split(
      " ",
    ) as TensorDtype[];
    const tensors = new Map<string, HostTensor>();
    for (const [i, dtype] of dtypes.entries()) {
      const shape = [[], [3], [2, 5], [0, 4], [1, 1, 7]][i % 5] ?? [];
      const count = shape.reduce((product, size) => product * size, 1);
      const data = viewElements(dtype, new ArrayBuffer(count * 8), 0, count);
      for (let k = 0; k < count; k += 1) {
        data[k] = typeof data[k] === "bigint" ? BigInt(k) : k % 2;
      }
      tensors.set(`${i}.${dtype} "quoted" ü`, { dtype, shape, data });
    }
    const path = join(folder, "all.safetensors");
    await writeSafetensors(path, tensors, { step: "7", note: "ü\n" });
    const back = await readSafetensors(path);
    assert.deepEqual({ ...back.metadata }, { step: "7", note: "ü\n" });
    assert.equal(back.tensors.size, tensors.size);
    for (const [name, tensor] of tensors) {
      assert.deepEqual(back.tensors.get(name), tensor, name);
    }
    const bytes = await readFile(path);
    await writeSafetensors(path, new Map([...tensors].reverse()), { note: "ü\n", step: "7" });
    assert.deepEqual(await readFile(path), bytes);
    assert.deepEqual(await readdir(folder), ["all.safetensors"], "no temporary file is left");
  });

  it("aligns the data to 8 bytes and each tensor to its element size", async () => {
    const path = join(folder, "aligned.safetensors");
    const tensors = new Map<string, HostTensor>([
      ["a", { dtype: "u8", shape: [3], data: new Uint8Array(3) }],
      ["b", { dtype: "f64", shape: [1], data: new Float64Array(1) }],
      ["c", { dtype: "f16", shape: [1], data: new Uint16Array(1) }],
      ["d", { dtype: "f32", shape: [1], data: new Float32Array(1) }],
    ]);
    await writeSafetensors(path, tensors);
    const header = await readSafetensorsHeader(path);
    assert.deepEqual([...header.tensors.keys()], ["b", "d", "c", "a"]);
    for (const entry of header.tensors.values()) {
      assert.equal(entry.offset % (entry.bytes / (entry.shape[0] ?? 1)), 0);
    }
    assert.equal([...header.tensors.values()][0]?.offset ?? 1, (await readFile(path)).length - 8 - 4 - 2 - 3);
  });

  it("accepts a hand-made file", async () => {
    const { tensors } = await read({ x: f32([2], 0, 8), y: f32([], 8, 12) }, 12);
    assert.deepEqual(tensors.get("x"), { dtype: "f32", shape: [2], data: new Float32Array(2) });
    assert.deepEqual(tensors.get("y")?.shape, []);
  });

  const faults: [string, string | object, number, RegExp][] = [
    ["an overlap", { x: f32([2], 0, 8), y: f32([1], 4, 8) }, 8, /overlaps/],
    ["a gap", { x: f32([1], 0, 4), y: f32([1], 8, 12) }, 12, /gap/],
    ["data after the last tensor", { x: f32([1], 0, 4) }, 8, /bytes in the file/],
    ["a file cut off", { x: f32([4], 0, 16) }, 12, /bytes in the file/],
    ["a size unlike the shape", { x: f32([3], 0, 8) }, 8, /expected 12 bytes/],
    [
      "a name twice",
      '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0078":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      4,
      /twice/,
    ],
    ["an unknown element type", { x: { dtype: "F8_E4M3", shape: [1], data_offsets: [0, 1] } }, 1, /F8_E4M3/],
    ["a negative size", { x: f32([-1, -1], 0, 4) }, 4, /whole numbers/],
    ["sizes whose product is no number", { x: f32([2 ** 52, 2 ** 52, 0], 0, 4) }, 4, /bytes/],
    [
      "offsets beyond the safe integers",
      '{"x":{"dtype":"F32","shape":[1],"data_offsets":[1e300,1e300]}}',
      4,
      /data_offsets/,
    ],
    [
      "a type named like a member of objects",
      { x: { ...f32([1], 0, 4), dtype: "constructor" } },
      4,
      /constructor/,
    ],
    [
      "a value nested too deep to print",
      `{"x":${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
      0,
      /dtype, shape/,
    ],
    [
      "metadata nested too deep to print",
      `{"__metadata__":${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
      0,
      /strings/,
    ],
    [
      "a long name twice, apart from its colon",
      `{"${"n".repeat(2_000_000)}":1,"${"n".repeat(2_000_000)}"    :1}`,
      0,
      /twice/,
    ],
    ["metadata that is no text", { __metadata__: { step: 3 } }, 0, /__metadata__/],
    ["a list as header", [], 0, /JSON object/],
    ["no JSON", "{x}", 0, /JSON header/],
  ];
  for (const [what, header, bytes, pattern] of faults) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(
        read(header, bytes),
        (error) => error instanceof DataError && pattern.test(error.message),
      );
    });
  }

  it("refuses a header longer than the file or the bound, and no file at all", async () => {
    const path = join(folder, "long.safetensors");
    await writeFile(path, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7b]));
    await assert.rejects(readSafetensorsHeader(path), /header of 2 to/);
    const bound = 2 ** 24;
    const long = Buffer.alloc(8 + bound + 1, 0x20);
    long.writeBigUInt64LE(BigInt(bound + 1), 0);
    await writeFile(path, long);
    await assert.rejects(readSafetensorsHeader(path), /header of 2 to 16777216 bytes/);
    await writeFile(path, "abc");
    await assert.rejects(readSafetensorsHeader(path), /at least 8 bytes/);
    await assert.rejects(readSafetensorsHeader(join(folder, "none")), /ENOENT/);
    await assert.rejects(readSafetensorsHeader(folder), DataError);
  });

  it("refuses to write a tensor whose data does not fit its shape, leaving nothing behind", async () => {
    const path = join(folder, "wrong.safetensors");
    const tensor: HostTensor = { dtype: "f32", shape: [3], data: new Float32Array(2) };
    await assert.rejects(writeSafetensors(path, new Map([["x", tensor]])), /expected 12 bytes/);
    assert.equal((await readdir(folder)).includes("wrong.safetensors"), false);
  });
});

describe("toFloat32", () => {
  it("converts narrow floats exactly, including subnormals, infinities and NaN", () => {
    const f16 = new Uint16Array([0x0001, 0x83ff, 0x3555, 0x7bff, 0xfc00, 0x7e00, 0x8000]);
    assert.deepEqual(
      [...toFloat32({ dtype: "f16", shape: [7], data: f16 })],
      [2 ** -24, -1023 * 2 ** -24, 0.333251953125, 65504, Number.NEGATIVE_INFINITY, Number.NaN, -0],
    );
    const bf16 = new Uint16Array([0x3fc0, 0xc000, 0x7f80]);
    const shape = [3];
    assert.deepEqual(
      [...toFloat32({ dtype: "bf16", shape, data: bf16 })],
      [1.5, -2, Number.POSITIVE_INFINITY],
    );
  });

  it("hands an f32 tensor through and refuses a wrong length", () => {
    const data = new Float32Array([1, 2]);
    assert.equal(toFloat32({ dtype: "f32", shape: [2], data }), data);
    assert.throws(() => toFloat32({ dtype: "f32", shape: [3], data }), DataError);
  });
});
