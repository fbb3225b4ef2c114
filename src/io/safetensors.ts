import type { FileHandle } from "node:fs/promises";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "./atomic-file.js";
import {
  dtypeBytes,
  elementCount,
  type HostTensor,
  type TensorDtype,
  tensorBytes,
  viewElements,
} from "./host-tensor.js";
import { openFile, readFully, withFile } from "./read-file.js";
import {
  namedTensor,
  readAllTensors,
  type TensorFile,
  type TensorSource,
  tensorsInMemory,
} from "./tensor-file.js";

/** Where one tensor lies in a safetensors file. */
export interface SafetensorsEntry {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  /** First byte of the tensor, counted from the start of the file. */
  readonly offset: number;
  /** Length in bytes. */
  readonly bytes: number;
}

/** Content of a safetensors header: entries in the order of their bytes, and the free text metadata. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Tensors of a file in memory. */
export interface SafetensorsFile {
  readonly tensors: Map<string, HostTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Longest header that is read, in bytes; that of a SAM ViT-H's training with AdamW has about 250 kB. */
const maxHeaderBytes = 2 ** 24;

const dtypeOfName: ReadonlyMap<string, TensorDtype> = new Map([
  ["F64", "f64"],
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
  ["I64", "i64"],
  ["U64", "u64"],
  ["I32", "i32"],
  ["U32", "u32"],
  ["I16", "i16"],
  ["U16", "u16"],
  ["I8", "i8"],
  ["U8", "u8"],
  ["BOOL", "bool"],
]);

const where = "safetensors";

/**
 * Reads and checks the header of a safetensors file; the tensors' bytes are not read.
 *
 * @throws DataError when the file cannot be read, the header is too long, no JSON, names a tensor twice or an
 *   unknown element type, a size does not follow from shape and type, or the ranges overlap, leave a gap or
 *   do not end with the file
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(where, path, (handle, size) => readHeader(path, handle, size));
}

/**
 * Opens a safetensors file: the header is read and checked at once, each tensor's bytes when it is asked for.
 *
 * @throws DataError as readSafetensorsHeader
 */
export async function openSafetensors(path: string): Promise<TensorFile> {
  const { handle, size } = await openFile(where, path);
  try {
    const { tensors, metadata } = await readHeader(path, handle, size);
    return {
      path,
      tensors,
      metadata,
      read: async (name) => readEntry(path, handle, namedTensor(tensors, name, path)),
      [Symbol.asyncDispose]: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Reads all tensors of a safetensors file, each into memory of its own.
 *
 * @throws DataError as readSafetensorsHeader, and when the file ends early
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  await using file = await openSafetensors(path);
  return { tensors: await readAllTensors(file), metadata: file.metadata };
}

async function readHeader(path: string, handle: FileHandle, size: number): Promise<SafetensorsHeader> {
  const lengthBytes = new Uint8Array(8);
  if (size < 8) {
    throw bad(path, "at least 8 bytes", `${size}`);
  }
  await readFully(where, path, handle, lengthBytes, 0);
  const length = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true));
  if (length > maxHeaderBytes || length > size - 8 || length < 2) {
    throw bad(path, `a header of 2 to ${Math.min(maxHeaderBytes, size - 8)} bytes`, `${length}`);
  }
  const headerBytes = new Uint8Array(length);
  await readFully(where, path, handle, headerBytes, 8);
  return parseHeader(path, headerBytes, size);
}

async function readEntry(path: string, handle: FileHandle, entry: SafetensorsEntry): Promise<HostTensor> {
  const { dtype, shape } = entry;
  const buffer = new ArrayBuffer(entry.bytes);
  await readFully(where, path, handle, new Uint8Array(buffer), entry.offset);
  return { dtype, shape, data: viewElements(dtype, buffer, 0, elementCount(shape)) };
}

/**
 * Writes tensors to a safetensors file (atomic; the bytes are streamed, not gathered). The header is padded to
 * 8 bytes and tensors are ordered by falling element size, then name, so every tensor is aligned and equal
 * content gives equal bytes.
 *
 * @throws DataError when a tensor's data does not fit its shape or type, or the file cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeSafetensorsFrom(path, tensorsInMemory(tensors), metadata);
}

/** As writeSafetensors, with one tensor at a time in memory. @throws DataError also when the source cannot be read */
export async function writeSafetensorsFrom(
  path: string,
  source: TensorSource,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const ordered = [...source.tensors].sort(
    ([nameA, a], [nameB, b]) => dtypeBytes(b.dtype) - dtypeBytes(a.dtype) || (nameA < nameB ? -1 : 1),
  );
  const fields: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    fields.push(["__metadata__", Object.fromEntries(Object.entries(metadata).sort())]);
  }
  let offset = 0;
  for (const [name, { dtype, shape }] of ordered) {
    const bytes = dtypeBytes(dtype) * elementCount(shape);
    fields.push([name, { dtype: dtype.toUpperCase(), shape, data_offsets: [offset, offset + bytes] }]);
    offset += bytes;
  }
  // Put together by hand: in an object, names that look like integers would jump to the front.
  const json = `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`;
  const text = new TextEncoder().encode(json);
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  const names = ordered.map(([name]) => name);
  await writeFileAtomic(path, pieces(path, header, names, source));
}

async function* pieces(
  path: string,
  header: Uint8Array,
  names: readonly string[],
  source: TensorSource,
): AsyncIterable<Uint8Array> {
  yield header;
  for (const name of names) {
    const tensor = await source.read(name);
    const bytes = dtypeBytes(tensor.dtype) * elementCount(tensor.shape);
    if (tensor.data.byteLength !== bytes || name === "__metadata__") {
      throw new DataError(
        `${where}: expected ${bytes} bytes for tensor ${JSON.stringify(name)} of ${path}, ` +
          `received ${tensor.data.byteLength}; shape, type and data must fit, and __metadata__ is no tensor name`,
      );
    }
    yield tensorBytes(tensor);
  }
}

function parseHeader(path: string, bytes: Uint8Array, fileSize: number): SafetensorsHeader {
  let fields: unknown;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    fields = JSON.parse(text);
  } catch (error) {
    throw bad(path, "a JSON header", error instanceof Error ? error.message : "other bytes");
  }
  if (!isRecord(fields)) {
    throw bad(path, "a JSON object as header", inBrief(fields));
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) {
    throw bad(path, "each tensor name once", `${inBrief(twice)} twice`);
  }
  const dataStart = 8 + bytes.length;
  const entries: [string, SafetensorsEntry][] = [];
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === "__metadata__") {
      metadata = parseMetadata(path, value);
    } else {
      entries.push([name, parseEntry(path, name, value, dataStart)]);
    }
  }
  entries.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = dataStart;
  for (const [name, entry] of entries) {
    if (entry.offset !== end) {
      const what = entry.offset < end ? "overlaps the one before" : "leaves a gap before it";
      throw bad(
        path,
        `tensor ${JSON.stringify(name)} to start at byte ${end}`,
        `${entry.offset}, it ${what}`,
      );
    }
    end += entry.bytes;
  }
  if (end !== fileSize) {
    throw bad(path, `${end} bytes in the file`, `${fileSize}`);
  }
  return { tensors: new Map(entries), metadata };
}

function parseEntry(path: string, name: string, value: unknown, dataStart: number): SafetensorsEntry {
  const label = `tensor ${JSON.stringify(name)}`;
  if (!isRecord(value)) {
    throw bad(path, `dtype, shape and data_offsets for ${label}`, inBrief(value));
  }
  const dtypeName = value.dtype;
  const dtype = typeof dtypeName === "string" ? dtypeOfName.get(dtypeName) : undefined;
  if (dtype === undefined) {
    throw bad(path, `one of ${[...dtypeOfName.keys()].join(", ")} as dtype of ${label}`, inBrief(dtypeName));
  }
  const shape = value.shape;
  if (!isSizes(shape)) {
    throw bad(path, `whole numbers as shape of ${label}`, inBrief(shape));
  }
  const offsets = value.data_offsets;
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw bad(path, `two whole numbers as data_offsets of ${label}`, inBrief(offsets));
  }
  const [begin = 0, end = 0] = offsets;
  const bytes = elementCount(shape) * dtypeBytes(dtype);
  if (end - begin !== bytes) {
    throw bad(path, `${bytes} bytes for ${label} (${dtype}, shape [${shape.join(", ")}])`, `${end - begin}`);
  }
  return { dtype, shape, offset: dataStart + begin, bytes };
}

function parseMetadata(path: string, value: unknown): Readonly<Record<string, string>> {
  if (isRecord(value) && Object.values(value).every((item) => typeof item === "string")) {
    return value as Record<string, string>;
  }
  throw bad(path, "__metadata__ as an object of strings", inBrief(value));
}

/** First key that stands twice in the outermost object of valid JSON. JSON.parse would keep the last one silently. */
function repeatedKey(json: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (let i = 0; i < json.length; i += 1) {
    const character = json[i];
    if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") depth -= 1;
    else if (character === '"') {
      const start = i;
      for (i += 1; json[i] !== '"'; i += 1) if (json[i] === "\\") i += 1;
      let next = i + 1;
      while (" \t\n\r".includes(json[next] ?? "x")) next += 1;
      // In the outermost object a text that no colon follows is a value.
      if (depth !== 1 || json[next] !== ":") continue;
      const key = String(JSON.parse(json.slice(start, i + 1)));
      if (seen.has(key)) return key;
      seen.add(key);
    }
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** What a value of the header is, for a message. Not printed whole: a hostile one may be nested too deep to print. */
function inBrief(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) {
    const items = value
      .slice(0, 8)
      .map((item) => (typeof item === "object" ? "..." : String(item).slice(0, 40)));
    return `[${[...items, ...(value.length > 8 ? ["..."] : [])].join(", ")}]`;
  }
  return typeof value === "object" && value !== null ? "an object" : JSON.stringify(value).slice(0, 60);
}

function bad(path: string, expected: string, received: string): DataError {
  return new DataError(
    `${where}: expected ${expected} in ${path}, received ${received}; the file is damaged, get it again`,
  );
}
