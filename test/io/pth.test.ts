import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DataError } from "../../src/errors.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { openPth } from "../../src/io/pth/pth.js";
import { unpickle } from "../../src/io/pth/unpickler.js";
import { ZipArchive } from "../../src/io/pth/zip.js";
import { readWeights } from "../../src/io/weights-file.js";
import { plainPth, windowsPickle, withRecords, zipOf } from "./hand-made-pth.js";

// Made by test/oracle/make-pth.py.
const fixture = (name: string) => join(process.cwd(), "test/fixtures", `pth-${name}.pth`);
const refuses = (pattern: RegExp) => (error: unknown) =>
  error instanceof DataError && pattern.test(error.message) && error.message.includes("; ");

describe("pth", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-pth-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("reads every element type", async () => {
    const tensors = await readWeights(fixture("state-dict"));
    const values = (name: string) => {
      const tensor = tensors.get(name);
      assert.ok(tensor !== undefined, name);
      return [tensor.dtype, [...tensor.shape], [...toFloat32(tensor)]];
    };
    for (const [name, dtype] of [
      ["float32", "f32"],
      ["float16", "f16"],
      ["bfloat16", "bf16"],
      ["float64", "f64"],
    ] as const) {
      assert.deepEqual(values(name), [dtype, [2, 3], [-0.5, 1, 2, 3, 4, 1000]], name);
    }
    for (const [name, dtype] of [
      ["int64", "i64"],
      ["int32", "i32"],
      ["uint8", "u8"],
    ] as const) {
      assert.deepEqual(values(name), [dtype, [2, 3], [0, 1, 2, 3, 4, 5]], name);
    }
    assert.deepEqual([...(tensors.get("int64_large")?.data ?? [])], [-1n, 2n ** 40n, -(2n ** 62n)]);
    assert.deepEqual(values("bool"), ["bool", [3], [1, 0, 1]]);
    assert.deepEqual(values("scalar"), ["f32", [], [2.5]]);
    assert.deepEqual(values("empty"), ["f32", [0, 3], []]);
    assert.deepEqual(values("parameter"), ["f32", [3], [0, 1, 2]]);
  });

  it("makes strided views of a shared storage contiguous", async () => {
    const tensors = await readWeights(fixture("state-dict"));
    const at = (name: string) => [...(tensors.get(name)?.data ?? [])].map(Number);
    const base = Array.from({ length: 24 }, (_, i) => i);
    assert.deepEqual(at("base"), base);
    assert.deepEqual(tensors.get("transposed")?.shape, [6, 4]);
    assert.deepEqual(
      at("transposed"),
      base.map((_, i) => (i % 4) * 6 + Math.floor(i / 4)),
    );
    assert.deepEqual(tensors.get("window")?.shape, [2, 3]);
    assert.deepEqual(at("window"), [6, 8, 10, 12, 14, 16]);
    assert.deepEqual(tensors.get("permuted")?.shape, [4, 2, 3]);
    assert.deepEqual(
      at("permuted"),
      base.map((_, i) => Math.floor(i / 6) + (i % 6) * 4),
    );
  });

  it("finds the state dict inside a training checkpoint, in the order of the dict", async () => {
    const tensors = await readWeights(fixture("checkpoint"));
    assert.deepEqual(
      [...tensors.keys()],
      [
        "conv.weight",
        "conv.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
      ],
    );
    assert.deepEqual([...(tensors.get("conv.weight")?.data ?? [])], [0, 1, 2, 3, 4, 5]);
  });

  it("runs no code and names what it refuses", async () => {
    await assert.rejects(readWeights(fixture("runs-code")), refuses(/posix\.system/));
    assert.equal(existsSync("unpickler-was-tricked"), false);
    await assert.rejects(readWeights(fixture("namespace")), refuses(/argparse\.Namespace/));
  });

  it("says how to convert the old format", async () => {
    await assert.rejects(readWeights(fixture("old-format")), refuses(/before PyTorch 1\.6.*torch\.save/));
  });

  it("refuses a tensor that is larger than its storage before it allocates", async () => {
    await assert.rejects(readWeights(fixture("expanded")), refuses(/a window within 1 elements/));
  });

  it("refuses files cut off anywhere, and changed bytes in storages", async () => {
    const bytes = await readFile(fixture("state-dict"));
    const path = join(folder, "cut.pth");
    for (let length = 0; length < bytes.length; length += 97) {
      await writeFile(path, bytes.subarray(0, length));
      await assert.rejects(readWeights(path), DataError, `cut at ${length}`);
    }
    const start = bytes.indexOf(Buffer.from(Float32Array.from({ length: 24 }, (_, i) => i).buffer));
    assert.ok(start > 0);
    bytes[start + 9] = (bytes[start + 9] ?? 0) ^ 1;
    await writeFile(path, bytes);
    await assert.rejects(readWeights(path), refuses(/checksum/));
  });

  it("stays with DataError when a byte of the pickle is changed", async () => {
    await using archive = await ZipArchive.open(fixture("checkpoint"));
    const pickle = Buffer.from(await archive.read("data.pkl"));
    assert.ok(pickle.length > 500);
    assert.ok(unpickle(pickle, "x") instanceof Map);
    for (let position = 0; position < pickle.length; position += 1) {
      const changed = Buffer.from(pickle);
      changed[position] = (changed[position] ?? 0) ^ (1 << (position % 8));
      try {
        unpickle(changed, "x");
      } catch (error) {
        assert.ok(error instanceof DataError, `byte ${position}: ${String(error)}`);
      }
    }
  });

  it("reads integers of any sign and length, and refuses a pickle cut off anywhere", () => {
    const integer = (...bytes: number[]) =>
      unpickle(Buffer.from([0x80, 2, 0x8a, bytes.length, ...bytes, 0x2e]), "x");
    assert.equal(integer(), 0);
    assert.equal(integer(0xff), -1);
    assert.equal(integer(0x00, 0x80), -32768);
    assert.equal(integer(0, 0, 0, 0, 0, 0, 0, 0x40), 2n ** 62n);
    const whole = windowsPickle({ shape: [2], strides: [1] });
    for (let length = 0; length < whole.length; length += 1) {
      assert.throws(() => unpickle(whole.subarray(0, length), "x"), DataError, `cut at ${length}`);
    }
  });

  it("keeps windows within their storage", async () => {
    const path = join(folder, "window.pth");
    const read = async (offset: number, shape: number[], strides: number[]) => {
      const storage = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);
      await writeFile(
        path,
        zipOf("a/data.pkl", windowsPickle({ offset, shape, strides }), "a/data/0", storage),
      );
      return [...((await readWeights(path)).get("w")?.data ?? [])];
    };
    assert.deepEqual(await read(0, [4], [1]), [1, 2, 3, 4]);
    assert.deepEqual(await read(1, [2], [2]), [2, 4]);
    assert.deepEqual(await read(0, [2, 2], [1, 2]), [1, 3, 2, 4]);
    assert.deepEqual(await read(3, [0], [1]), []);
    await assert.rejects(read(1, [4], [1]), refuses(/window within 4 elements/));
    await assert.rejects(read(2, [2], [2]), refuses(/window within 4 elements/));
    await assert.rejects(read(0, [2, 2], [3, 1]), refuses(/window within 4 elements/));
    await assert.rejects(read(0, [255, 255, 255, 0], [0, 0, 0, 0].slice(1)), refuses(/4 strides/));
  });

  it("refuses other files by name", async () => {
    const path = join(folder, "page.pth");
    await writeFile(path, "<html>404</html>");
    await assert.rejects(readWeights(path), refuses(/"<htm"/));
    await assert.rejects(readWeights(join(folder, "missing.pth")), refuses(/ENOENT/));
    await writeFile(path, zipOf("a/other.txt", Buffer.from("x")));
    await assert.rejects(readWeights(path), refuses(/without data\.pkl/));
    // An empty dict: {} then STOP.
    await writeFile(path, zipOf("a/data.pkl", Buffer.from([0x80, 2, 0x7d, 0x2e])));
    await assert.rejects(readWeights(path), refuses(/expected tensors at the top/));
    await writeFile(path, zipOf("a/data.pkl", Buffer.from([0x80, 4, 0x7d, 0x2e])));
    await assert.rejects(readWeights(path), refuses(/protocol 4/));
  });

  it("reads nothing but the directory until a tensor is asked for", async () => {
    const path = join(folder, "damaged-data.pth");
    const whole = await readFile(fixture("state-dict"));
    const start = whole.indexOf(Buffer.from(Float32Array.from({ length: 24 }, (_, i) => i).buffer));
    whole[start + 9] = 0x55;
    await writeFile(path, whole);
    await using file = await openPth(path);
    assert.deepEqual(file.tensors.get("base")?.shape, [4, 6]);
    assert.equal((await file.read("float16")).dtype, "f16");
    await assert.rejects(file.read("base"), refuses(/checksum/));
    await assert.rejects(file.read("none"), refuses(/a tensor none/));
  });

  it("refuses archives that would unpack to more than they weigh", async () => {
    const path = join(folder, "bomb.pth");
    const refusesRecords = async (pattern: RegExp, change: (record: Buffer, index: number) => void) => {
      await writeFile(path, withRecords(plainPth(), change));
      await assert.rejects(readWeights(path), refuses(pattern));
    };
    const huge = 0xfffffff0;
    const resize = (record: Buffer, size: number) => {
      record.writeUInt32LE(size, 20);
      record.writeUInt32LE(size, 24);
    };
    await refusesRecords(/uncompressed entries.*method 8.*TorchScript.*state_dict/, (record) =>
      record.writeUInt16LE(8, 10),
    );
    await refusesRecords(/size mismatch/, (record) => record.writeUInt32LE(huge, 24));
    await refusesRecords(/entries smaller than the file/, (record) => resize(record, huge));
    // Both entries are the whole file: each would do, together they overlap.
    await refusesRecords(/entries smaller than the file/, (record) => {
      resize(record, plainPth().length - 60);
      record.writeUInt32LE(0, 42);
    });
    await refusesRecords(/data\/0 within/, (record, index) => {
      if (index === 1) record.writeUInt32LE(huge, 42);
    });
    await refusesRecords(/local header for data\/0/, (record, index) => {
      if (index === 1) record.writeUInt32LE(7, 42);
    });
  });

  it("refuses a zip64 directory beyond the end of the file", async () => {
    const path = join(folder, "zip64.pth");
    const plain = plainPth();
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50, 0);
    for (const offset of [2n ** 63n, 2n ** 52n, 10n ** 6n]) {
      locator.writeBigUInt64LE(offset, 8);
      await writeFile(path, Buffer.concat([plain.subarray(0, -22), locator, plain.subarray(-22)]));
      await assert.rejects(readWeights(path), refuses(/a whole zip file/));
    }
  });

  it("refuses many tensors on the same data", async () => {
    const path = join(folder, "windows.pth");
    const storage = Buffer.alloc(2 ** 20);
    const count = storage.length / 4;
    const write = (windows: number) => {
      const window = { shape: [count - 1], strides: [1], count };
      const pickle = windowsPickle(...Array.from({ length: windows }, () => window));
      return writeFile(path, zipOf("a/data.pkl", pickle, "a/data/0", storage));
    };
    await write(8);
    await assert.rejects(readWeights(path), refuses(/about the file's size in all/));
    await write(3);
    assert.equal((await readWeights(path)).size, 3, "a model and its averages are no attack");
  });

  it("stops at a pickle of millions of containers", { timeout: 20_000 }, async () => {
    const path = join(folder, "containers.pth");
    const pickle = Buffer.alloc(8_000_000, 0x7d);
    pickle.set([0x80, 2]);
    await writeFile(path, zipOf("a/data.pkl", pickle));
    const before = process.memoryUsage().rss;
    await assert.rejects(readWeights(path), refuses(/at most 1000000 opcodes/));
    // A million empty maps are 150 to 250 MB; the eight million of this file would be eight times that.
    assert.ok(process.memoryUsage().rss - before < 600e6);
  });
});
