import { crc32 } from "node:zlib";
import { type Entry, openPromise, type ZipFile } from "yauzl";
import { DataError } from "../../errors.js";
import { AS_STORED, closestOrientation, stepLengths } from "../orientation.js";
import type { Affine, Vec3 } from "../volume.js";
import { MAX_DEFLATE_RATIO } from "./byte-stream.js";
import { type Content, checkAffine, checkShape, type VolumeFormat, type VoxelHeader } from "./format.js";
import { type VoxelType, voxelTypes } from "./voxel-type.js";

/** Longest description of an array, bytes; NumPy's own limit for safe reading is 10 000. */
const MAX_HEADER = 10_000;
/** `spacing` and `affine` are small; more bytes than this are something else. */
const MAX_SMALL = 4096;

/** Kind letter and bytes per element, as NumPy's descr has them. */
const TYPES: ReadonlyMap<string, VoxelType["name"]> = new Map([
  ["b1", "uint8"],
  ["i1", "int8"],
  ["u1", "uint8"],
  ["i2", "int16"],
  ["u2", "uint16"],
  ["i4", "int32"],
  ["u4", "uint32"],
  ["i8", "int64"],
  ["u8", "uint64"],
  ["f4", "float32"],
  ["f8", "float64"],
]);

/**
 * NumPy's .npz: arrays `image` and `label`, axes (x, y, z), C or Fortran order, and if there are `spacing` (mm, x, y, z)
 * or `affine` (4 x 4, voxel to RAS+ mm). A file with one volume may call it anything. Pickled arrays are refused, never run.
 */
export const npz: VolumeFormat = {
  extensions: [".npz"],
  holdsLabel: true,
  resultExtension: ".nii.gz",
  async open(path, wanted) {
    const zip = await openPromise(path, { lazyEntries: true, autoClose: false }).catch((error: unknown) => {
      throw zipError(path, error);
    });
    try {
      const entries = await listEntries(path, zip);
      const { name, entry } = chooseArray(path, entries, wanted.content);
      const array = await openArray(path, zip, entry);
      const place = await readPlace(path, zip, entries);
      const header: VoxelHeader = {
        format: `NumPy array '${name}'`,
        shape: checkShape(path, array.shape, wanted),
        ...place,
        fastest: array.isFortran ? "x" : "z",
        type: array.type,
        littleEndian: array.littleEndian,
        slope: 1,
        intercept: 0,
        source: null,
      };
      return {
        header,
        maxBytes: Math.min(entry.uncompressedSize, entry.compressedSize * MAX_DEFLATE_RATIO),
        voxels: array.bytes,
        [Symbol.asyncDispose]: async () => zip.close(),
      };
    } catch (error) {
      zip.close();
      throw zipError(path, error);
    }
  },
};

type Entries = ReadonlyMap<string, Entry>;

async function listEntries(path: string, zip: ZipFile): Promise<Entries> {
  const entries = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) {
    const name = entry.fileName.replace(/\.npy$/, "");
    if (entry.isEncrypted() || entries.has(name)) {
      const received = entry.isEncrypted() ? "an encrypted one" : "it twice";
      throw new DataError(
        `${path}: expected each array once and readable, received ${received} ('${name}'); save it again`,
      );
    }
    entries.set(name, entry);
  }
  return entries;
}

function chooseArray(path: string, entries: Entries, content: Content): { name: string; entry: Entry } {
  const volumes = [...entries].filter(([name]) => name !== "spacing" && name !== "affine");
  const [name, entry] =
    volumes.find(([found]) => found === content) ?? (volumes.length === 1 ? volumes[0] : undefined) ?? [];
  if (name !== undefined && entry !== undefined && !(name === "image" && content === "label"))
    return { name, entry };
  throw new DataError(
    `${path}: expected an array '${content}', received ${volumes.map(([found]) => found).join(", ") || "none"}; ` +
      "save the volume under this name",
  );
}

interface NumpyArray {
  readonly type: VoxelType;
  readonly littleEndian: boolean;
  readonly isFortran: boolean;
  readonly shape: readonly number[];
  /** The elements, checked against the checksum of the entry. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** @throws DataError when the entry is no array of plain numbers */
async function openArray(path: string, zip: ZipFile, entry: Entry): Promise<NumpyArray> {
  const pieces = checkedPieces(path, zip, entry);
  let begin: Buffer = Buffer.alloc(0);
  let size = 10;
  while (begin.length < size) {
    const next = await pieces.next();
    if (next.done) break;
    begin = Buffer.concat([begin, next.value]);
    if (begin.length >= 12) size = headerEnd(path, entry, begin);
  }
  if (begin.length < size) throw notAnArray(path, entry);
  const text = begin.toString("latin1", 10, size);
  const [, order, kind = ""] = /'descr':\s*'([<>|=])([a-zA-Z]\d+)'/.exec(text) ?? [];
  const [, fortran] = /'fortran_order':\s*(True|False)/.exec(text) ?? [];
  const [, shape] = /'shape':\s*\(([\d,\s]*)\)/.exec(text) ?? [];
  const type = TYPES.get(kind);
  if (order === undefined || type === undefined || fortran === undefined || shape === undefined) {
    const [, found] = /'descr':\s*([^,}]*)/.exec(text) ?? [];
    throw new DataError(
      `${path}: expected an array of integers or floats in '${entry.fileName}', received ${found ?? "another header"}; ` +
        "save it as float32 or uint8",
    );
  }
  const extents = shape.split(",").filter((part) => part.trim() !== "");
  return {
    type: voxelTypes[type],
    littleEndian: order !== ">",
    isFortran: fortran === "True",
    shape: extents.map(Number),
    bytes: after(begin.subarray(size), pieces),
  };
}

/** Where the header ends: `\x93NUMPY`, version, length as u16 (version 1) or u32, text. */
function headerEnd(path: string, entry: Entry, begin: Buffer): number {
  const version = begin[6] ?? 0;
  if (begin.toString("latin1", 0, 6) !== "\x93NUMPY" || version < 1 || version > 3)
    throw notAnArray(path, entry);
  const end = version === 1 ? 10 + begin.readUInt16LE(8) : 12 + begin.readUInt32LE(8);
  if (end > MAX_HEADER) throw notAnArray(path, entry);
  return end;
}

function notAnArray(path: string, entry: Entry): DataError {
  return new DataError(
    `${path}: expected NumPy's array header in '${entry.fileName}', received other bytes; save it again`,
  );
}

async function* checkedPieces(path: string, zip: ZipFile, entry: Entry): AsyncGenerator<Buffer, undefined> {
  let checksum = 0;
  try {
    for await (const piece of await zip.openReadStreamPromise(entry)) {
      checksum = crc32(piece as Buffer, checksum);
      yield piece as Buffer;
    }
  } catch (error) {
    throw zipError(path, error);
  }
  if (checksum === entry.crc32) return;
  throw new DataError(
    `${path}: expected the checksum of '${entry.fileName}', received another; copy the file again`,
  );
}

async function* after(begin: Buffer, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield begin;
  yield* pieces;
}

/** What `affine` or `spacing` say; without them the file has no place in the scanner. */
async function readPlace(
  path: string,
  zip: ZipFile,
  entries: Entries,
): Promise<Pick<VoxelHeader, "affine" | "spacing" | "orientation">> {
  const numbers = await readSmall(path, zip, entries, "affine", 16);
  if (numbers) {
    const row = (r: number) =>
      [
        numbers[4 * r] ?? 0,
        numbers[4 * r + 1] ?? 0,
        numbers[4 * r + 2] ?? 0,
        numbers[4 * r + 3] ?? 0,
      ] as const;
    const affine: Affine = checkAffine(path, [row(0), row(1), row(2), row(3)]);
    const orientation = closestOrientation(affine);
    if (orientation) return { affine, spacing: stepLengths(affine), orientation };
    throw new DataError(
      `${path}: expected three axes in different directions for 'affine', received ${numbers.join(" ")}; correct it`,
    );
  }
  const [x, y, z] = (await readSmall(path, zip, entries, "spacing", 3)) ?? [];
  if (x === undefined || y === undefined || z === undefined) {
    return { affine: null, spacing: null, orientation: AS_STORED };
  }
  const spacing: Vec3 = [x, y, z];
  if (spacing.every((step) => step > 0 && Number.isFinite(step))) {
    return { affine: null, spacing, orientation: AS_STORED };
  }
  throw new DataError(
    `${path}: expected positive numbers for 'spacing', received ${spacing.join(", ")}; correct it`,
  );
}

/** The numbers of a small array in C order; undefined when there is none. */
async function readSmall(
  path: string,
  zip: ZipFile,
  entries: Entries,
  name: string,
  count: number,
): Promise<number[] | undefined> {
  const entry = entries.get(name);
  if (!entry) return undefined;
  const wrong = (received: string): DataError =>
    new DataError(
      `${path}: expected ${count} numbers in C order for '${name}', received ${received}; save it again`,
    );
  if (entry.uncompressedSize > MAX_SMALL) throw wrong(`${entry.uncompressedSize} bytes`);
  const array = await openArray(path, zip, entry);
  const parts: Uint8Array[] = [];
  for await (const piece of array.bytes) parts.push(piece);
  const bytes = Buffer.concat(parts);
  if (array.isFortran || bytes.length !== count * array.type.bytes)
    throw wrong(`shape ${array.shape.join(" x ")}`);
  const values = new Float64Array(count);
  array.type.decode(
    new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    count,
    array.littleEndian,
    values,
  );
  return [...values];
}

function zipError(path: string, error: unknown): unknown {
  if (error instanceof DataError || !(error instanceof Error)) return error;
  return new DataError(`${path}: expected a readable .npz file, received "${error.message}"; save it again`, {
    cause: error,
  });
}
