import { DataError } from "../../errors.js";
import { writeFileAtomic } from "../atomic-file.js";
import { dtypeBytes, elementCount, tensorBytes } from "../host-tensor.js";
import type { TensorInfo, TensorSource } from "../tensor-file.js";
import { storageOfDtype } from "./storage-types.js";
import { StoredZip } from "./stored-zip.js";

/**
 * Writes tensors as PyTorch's torch.save writes a state dict (zip format), so that torch.load with weights_only=True
 * gives them back: a dict of contiguous tensors on the CPU, each with a storage of its own. Names, order, element types
 * and values stay; equal tensors give equal bytes. The file appears whole or not at all; one tensor at a time is in
 * memory.
 *
 * @throws DataError when PyTorch has no such element type, the file would exceed 4 GiB, or it cannot be written
 */
export async function writePth(path: string, source: TensorSource): Promise<void> {
  const storages = [...source.tensors].map(([name, info]) => storageOf(path, name, info));
  await writeFileAtomic(path, pieces(path, source, pickleOf([...source.tensors], storages)));
}

async function* pieces(path: string, source: TensorSource, pickle: Uint8Array): AsyncIterable<Uint8Array> {
  const zip = new StoredZip(path, "archive");
  const text = new TextEncoder();
  yield* zip.entry("data.pkl", pickle);
  yield* zip.entry("byteorder", text.encode("little"));
  let key = 0;
  for (const [name, { dtype, shape }] of source.tensors) {
    const bytes = tensorBytes(await source.read(name));
    const expected = dtypeBytes(dtype) * elementCount(shape);
    if (bytes.length !== expected)
      throw new DataError(
        `pth: expected ${expected} bytes for tensor ${JSON.stringify(name)} of ${path}, received ${bytes.length}; ` +
          "shape, type and data must fit",
      );
    yield* zip.entry(`data/${key}`, bytes);
    key += 1;
  }
  yield* zip.entry("version", text.encode("3\n"));
  yield zip.directory();
}

/** Name of torch's storage class. */
function storageOf(path: string, name: string, { dtype }: TensorInfo): string {
  const storage = storageOfDtype.get(dtype);
  if (storage !== undefined) return storage;
  throw new DataError(
    `pth: expected a type that torch has a storage for in tensor ${JSON.stringify(name)} of ${path}, received ${dtype}; ` +
      "write .safetensors instead",
  );
}

/** The pickle (protocol 2) of a dict of tensors; tensor i has the storage data/i. */
function pickleOf(tensors: readonly [string, TensorInfo][], storages: readonly string[]): Uint8Array {
  const out = new PickleWriter();
  out.bytes(0x80, 2, 0x7d, 0x28); // PROTO 2, EMPTY_DICT, MARK
  for (const [index, [name, { shape }]] of tensors.entries()) {
    out.text(name);
    out.global("torch._utils", "_rebuild_tensor_v2");
    out.tuple(() => {
      out.tuple(() => {
        out.text("storage");
        out.global("torch", storages[index] ?? "");
        out.text(String(index));
        out.text("cpu");
        out.integer(elementCount(shape));
      });
      out.bytes(0x51); // BINPERSID
      out.integer(0); // offset in the storage
      out.integers(shape);
      out.integers(shape.map((_, axis) => elementCount(shape.slice(axis + 1)))); // strides
      out.bytes(0x89); // NEWFALSE: no gradient required
      out.global("collections", "OrderedDict"); // backward hooks: none
      out.bytes(0x29, 0x52); // EMPTY_TUPLE, REDUCE
    });
    out.bytes(0x52); // REDUCE
  }
  out.bytes(0x75, 0x2e); // SETITEMS, STOP
  return out.content();
}

/** Puts opcodes together. */
class PickleWriter {
  private readonly parts: Uint8Array[] = [];

  bytes(...values: readonly number[]): void {
    this.parts.push(Uint8Array.from(values));
  }

  /** BINUNICODE. */
  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.bytes(0x58, ...word(encoded.length));
    this.parts.push(encoded);
  }

  /** GLOBAL. */
  global(module: string, name: string): void {
    this.bytes(0x63);
    this.parts.push(new TextEncoder().encode(`${module}\n${name}\n`));
  }

  /** MARK, the items, TUPLE. */
  tuple(items: () => void): void {
    this.bytes(0x28);
    items();
    this.bytes(0x74);
  }

  /** A tuple of whole numbers. */
  integers(values: readonly number[]): void {
    this.tuple(() => {
      for (const value of values) this.integer(value);
    });
  }

  /** BININT1, BININT or LONG1, the shortest that holds a whole number >= 0. */
  integer(value: number): void {
    if (value < 256) this.bytes(0x4b, value);
    else if (value < 2 ** 31) this.bytes(0x4a, ...word(value));
    else this.bytes(0x8a, 8, ...word(value % 2 ** 32), ...word(Math.floor(value / 2 ** 32)));
  }

  content(): Uint8Array {
    return Buffer.concat(this.parts);
  }
}

/** Little-endian bytes of an unsigned 32-bit number. */
function word(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}
