import { writeFileAtomic } from "../data/atomic-file.js";
import { DataError } from "../errors.js";
import {
  dtypeBytes,
  elementCount,
  type HostTensor,
  type TensorDtype,
  tensorBytes,
  viewElements,
} from "./host-tensor.js";
import { readFully, withFile } from "./read-file.js";

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

/** Longest header that is read, in bytes: the bound of the format's own library. */
const maxHeaderBytes = 100_000_000;

const dtypeOfName: Readonly<Record<string, TensorDtype>> = {
  F64: "f64",
  F32: "f32",
  F16: "f16",
  BF16: "bf16",
  I64: "i64",
  U64: "u64",
  I32: "i32",
  U32: "u32",
  I16: "i16",
  U16: "u16",
  I8: "i8",
  U8: "u8",
  BOOL: "bool",
};

const where = "safetensors";

/**
 * Reads and checks the header of a safetensors file; the tensors' bytes are not read.
 *
 * @throws DataError when the file cannot be read, the header is too long, no JSON, names a tensor twice or an
 *   unknown element type, a size does not follow from shape and type, or the ranges overlap, leave a gap or
 *   do not end with the file
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(where, path, async (handle, size) => {
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
  });
}

/**
 * Reads all tensors of a safetensors file, each into memory of its own.
 *
 * @throws DataError as readSafetensorsHeader, and when the file ends early
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const header = await readSafetensorsHeader(path);
  return withFile(where, path, async (handle) => {
    const tensors = new Map<string, HostTensor>();
    for (const [name, entry] of header.tensors) {
      const buffer = new ArrayBuffer(entry.bytes);
      await readFully(where, path, handle, new Uint8Array(buffer), entry.offset);
      const data = viewElements(entry.dtype, buffer, 0, elementCount(entry.shape));
      tensors.set(name, { dtype: entry.dtype, shape: entry.shape, data });
    }
    return { tensors, metadata: header.metadata };
  });
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
  const ordered = [...tensors].sort(
    ([nameA, a], [nameB, b]) => dtypeBytes(b.dtype) - dtypeBytes(a.dtype) || (nameA < nameB ? -1 : 1),
  );
  const fields: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    fields.push(["__metadata__", Object.fromEntries(Object.entries(metadata).sort())]);
  }
  let offset = 0;
  for (const [name, tensor] of ordered) {
    const bytes = dtypeBytes(tensor.dtype) * elementCount(tensor.shape);
    if (tensor.data.byteLength !== bytes || name === "__metadata__") {
      throw new DataError(
        `${where}: expected ${bytes} bytes for tensor ${JSON.stringify(name)} of ${path}, ` +
          `received ${tensor.data.byteLength}; shape, type and data must fit, and __metadata__ is no tensor name`,
      );
    }
    const dtype = tensor.dtype.toUpperCase();
    fields.push([name, { dtype, shape: tensor.shape, data_offsets: [offset, offset + bytes] }]);
    offset += bytes;
  }
  // Put together by hand: in an object, names that look like integers would jump to the front.
  const json = `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`;
  const text = new TextEncoder().encode(json);
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  await writeFileAtomic(path, pieces(header, ordered));
}

function* pieces(header: Uint8Array, ordered: readonly [string, HostTensor][]): Iterable<Uint8Array> {
  yield header;
  for (const [, tensor] of ordered) {
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
    throw bad(path, "a JSON object as header", JSON.stringify(fields).slice(0, 40));
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) {
    throw bad(path, "each tensor name once", `${JSON.stringify(twice)} twice`);
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
    throw bad(path, `dtype, shape and data_offsets for ${label}`, JSON.stringify(value).slice(0, 40));
  }
  const dtypeName = value.dtype;
  const dtype = typeof dtypeName === "string" ? dtypeOfName[dtypeName] : undefined;
  if (dtype === undefined) {
    throw bad(path, `one of ${Object.keys(dtypeOfName).join(", ")} as dtype of ${label}`, String(dtypeName));
  }
  const shape = value.shape;
  if (!isSizes(shape)) {
    throw bad(path, `whole numbers as shape of ${label}`, JSON.stringify(shape)?.slice(0, 60) ?? "nothing");
  }
  const offsets = value.data_offsets;
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw bad(
      path,
      `two whole numbers as data_offsets of ${label}`,
      String(JSON.stringify(offsets)).slice(0, 60),
    );
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
  throw bad(path, "__metadata__ as an object of strings", JSON.stringify(value).slice(0, 40));
}

/** First key that stands twice in the outermost object. JSON.parse would keep the last one silently. */
function repeatedKey(json: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const match of json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs)) {
    const token = match[0];
    if (token === "{" || token === "[") {
      depth += 1;
    } else if (token === "}" || token === "]") {
      depth -= 1;
    } else if (depth === 1 && match[1] !== undefined) {
      const key: unknown = JSON.parse(token.slice(0, token.length - match[1].length));
      if (typeof key === "string" && seen.has(key)) {
        return key;
      }
      seen.add(String(key));
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

function bad(path: string, expected: string, received: string): DataError {
  return new DataError(
    `${where}: expected ${expected} in ${path}, received ${received}; the file is damaged, get it again`,
  );
}
