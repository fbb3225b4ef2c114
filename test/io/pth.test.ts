import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { crc32 } from "node:zlib";
import { DataError } from "../../src/errors.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { readPth } from "../../src/io/pth/pth.js";
import { unpickle } from "../../src/io/pth/unpickler.js";

// Made by test/oracle/make-pth.py.
const fixture = (name: string) => join(process.cwd(), "test/fixtures", `pth-${name}.pth`);
const refuses = (pattern: RegExp) => (error: unknown) =>
  error instanceof DataError && pattern.test(error.message) && error.message.includes("; ");

describe("readPth", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-pth-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("reads every element type", async () => {
    const tensors = await readPth(fixture("state-dict"));
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
    const tensors = await readPth(fixture("state-dict"));
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
    const tensors = await readPth(fixture("checkpoint"));
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
    await assert.rejects(readPth(fixture("runs-code")), refuses(/posix\.system/));
    assert.equal(existsSync("unpickler-was-tricked"), false);
    await assert.rejects(readPth(fixture("namespace")), refuses(/argparse\.Namespace/));
  });

  it("says how to convert the old format", async () => {
    await assert.rejects(readPth(fixture("old-format")), refuses(/before PyTorch 1\.6.*torch\.save/));
  });

  it("refuses a tensor that is larger than its storage before it allocates", async () => {
    await assert.rejects(readPth(fixture("expanded")), refuses(/a window within 1 elements/));
  });

  it("refuses files cut off anywhere, and changed bytes in storages", async () => {
    const bytes = await readFile(fixture("state-dict"));
    const path = join(folder, "cut.pth");
    for (let length = 0; length < bytes.length; length += 97) {
      await writeFile(path, bytes.subarray(0, length));
      await assert.rejects(readPth(path), DataError, `cut at ${length}`);
    }
    const start = bytes.indexOf(Buffer.from(Float32Array.from({ length: 24 }, (_, i) => i).buffer));
    assert.ok(start > 0);
    bytes[start + 9] = (bytes[start + 9] ?? 0) ^ 1;
    await writeFile(path, bytes);
    await assert.rejects(readPth(path), refuses(/checksum/));
  });

  it("stays with DataError when a byte of the pickle is changed", async () => {
    const bytes = await readFile(fixture("checkpoint"));
    const marker = bytes.indexOf("data.pkl");
    const localHeader = bytes.lastIndexOf(Buffer.from("PK\u0003\u0004"), marker);
    const start =
      localHeader + 30 + bytes.readUInt16LE(localHeader + 26) + bytes.readUInt16LE(localHeader + 28);
    const end = bytes.indexOf(Buffer.from("PK"), start);
    const pickle = bytes.subarray(start, end);
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
    const whole = tensorPickle(0, [2], [1]);
    for (let length = 0; length < whole.length; length += 1) {
      assert.throws(() => unpickle(whole.subarray(0, length), "x"), DataError, `cut at ${length}`);
    }
  });

  it("keeps windows within their storage", async () => {
    const path = join(folder, "window.pth");
    const read = async (offset: number, shape: number[], strides: number[]) => {
      const storage = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer);
      await writeFile(path, zipOf("a/data.pkl", tensorPickle(offset, shape, strides), "a/data/0", storage));
      return [...((await readPth(path)).get("w")?.data ?? [])];
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
    await assert.rejects(readPth(path), refuses(/"<htm"/));
    await assert.rejects(readPth(join(folder, "missing.pth")), refuses(/ENOENT/));
    await writeFile(path, zipOf("a/other.txt", Buffer.from("x")));
    await assert.rejects(readPth(path), refuses(/without data\.pkl/));
    // An empty dict: {} then STOP.
    await writeFile(path, zipOf("a/data.pkl", Buffer.from([0x80, 2, 0x7d, 0x2e])));
    await assert.rejects(readPth(path), refuses(/expected tensors at the top/));
    await writeFile(path, zipOf("a/data.pkl", Buffer.from([0x80, 4, 0x7d, 0x2e])));
    await assert.rejects(readPth(path), refuses(/protocol 4/));
  });
});

/** Pickle of {"w": tensor} on the storage data/0 of four f32, with sizes below 256. */
function tensorPickle(offset: number, shape: readonly number[], strides: readonly number[]): Buffer {
  const text = (value: string) => [0x58, value.length, 0, 0, 0, ...Buffer.from(value)];
  const global = (module: string, name: string) => [0x63, ...Buffer.from(`${module}\n${name}\n`)];
  const tuple = (...items: number[][]) => [0x28, ...items.flat(), 0x74];
  const sizes = (values: readonly number[]) => tuple(...values.map((value) => [0x4b, value]));
  const storage = tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), [0x4b, 4]);
  const hooks = [...global("collections", "OrderedDict"), 0x29, 0x52];
  const tensorArguments = tuple(
    [...storage, 0x51],
    [0x4b, offset],
    sizes(shape),
    sizes(strides),
    [0x89],
    hooks,
  );
  const tensor = [...global("torch._utils", "_rebuild_tensor_v2"), ...tensorArguments, 0x52];
  return Buffer.from([0x80, 2, 0x7d, ...text("w"), ...tensor, 0x73, 0x2e]);
}

/** A zip file of stored entries, given as names and contents in turn. */
function zipOf(...entries: (string | Buffer)[]): Buffer {
  const [locals, centrals]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (let i = 0; i < entries.length; i += 2) {
    const [name, data] = [Buffer.from(entries[i] ?? ""), Buffer.from(entries[i + 1] ?? "")];
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(10, 4);
    local.writeUInt32LE(crc32(data), 14);
    local.writeUInt32LE(data.length, 18);
    local.writeUInt32LE(data.length, 22);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    local.copy(central, 6, 4, 30);
    central.writeUInt32LE(offset, 42);
    locals.push(local, name, data);
    centrals.push(central, name);
    offset += 30 + name.length + data.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length / 2, 8);
  end.writeUInt16LE(entries.length / 2, 10);
  end.writeUInt32LE(Buffer.concat(centrals).length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, ...centrals, end]);
}
