import { DataError } from "../../errors.js";
import type { FileHeader, Vec3 } from "../volume.js";
import { ByteStream } from "./byte-stream.js";
import {
  chooseFrame,
  type FileGrid,
  type FilePlan,
  type Frame,
  type VolumeFormat,
  type VoxelHeader,
  type VoxelKind,
  type WantedVolume,
} from "./format.js";
import {
  type Axes,
  besideHeader,
  LPS,
  lpsColumns,
  MAX_TEXT_HEADER,
  placeAxes,
  readNumbers,
} from "./text-header.js";
import { type VoxelType, voxelTypes } from "./voxel-type.js";

const TYPES: ReadonlyMap<string, VoxelType["name"]> = new Map([
  ["MET_CHAR", "int8"],
  ["MET_UCHAR", "uint8"],
  ["MET_SHORT", "int16"],
  ["MET_USHORT", "uint16"],
  ["MET_INT", "int32"],
  ["MET_UINT", "uint32"],
  // 4 bytes on every system, as MetaIO has it.
  ["MET_LONG", "int32"],
  ["MET_ULONG", "uint32"],
  ["MET_LONG_LONG", "int64"],
  ["MET_ULONG_LONG", "uint64"],
  ["MET_FLOAT", "float32"],
  ["MET_DOUBLE", "float64"],
]);

const WRITTEN_TYPES: Partial<Record<VoxelType["name"], string>> = {
  uint8: "MET_UCHAR",
  uint16: "MET_USHORT",
  float32: "MET_FLOAT",
};

/** Keys that say how voxels are stored; all others of an image go into its results. */
const STORAGE =
  /^(ObjectType|NDims|DimSize|BinaryData|BinaryDataByteOrderMSB|ElementByteOrderMSB|CompressedData|CompressedDataSize|CompressionLevel|ElementType|ElementNumberOfChannels|ElementMin|ElementMax|HeaderSize|ElementDataFile|Comment)$/;

/** MetaImage, one file (.mha) or two (.mhd), raw or zlib, 3D or 4D; results are one file and keep the keys of their image. */
export const metaimage: VolumeFormat = {
  extensions: [".mha", ".mhd"],
  holdsLabel: false,
  resultExtension: ".mha",
  async open(path, wanted) {
    let stream = await ByteStream.open(path);
    try {
      const { keys, bytes } = await readKeys(stream, path);
      const { header, frame } = describe(path, keys, bytes, wanted);
      const isPacked = readFlag(path, keys, "CompressedData");
      const dataFile = required(path, keys, "ElementDataFile");
      if (dataFile !== "LOCAL") {
        await stream[Symbol.asyncDispose]();
        const voxelBytes = header.shape.reduce((product, extent) => product * extent, header.type.bytes);
        const skip = readHeaderSize(path, keys);
        stream = await ByteStream.openData(
          besideHeader(path, dataFile),
          skip === -1 ? -voxelBytes * frame.count : skip,
        );
      }
      if (isPacked) stream = stream.unpacked();
      return await stream.asSource(header, frame);
    } catch (error) {
      await stream[Symbol.asyncDispose]();
      throw error;
    }
  },
  plan: planMetaimage,
  kept: (header) => keptLines(header).join("\n"),
};

type Keys = ReadonlyMap<string, string>;

/** The keys up to ElementDataFile, which is the last, and the header as it stands. */
async function readKeys(stream: ByteStream, path: string): Promise<{ keys: Keys; bytes: Uint8Array }> {
  const keys = new Map<string, string>();
  const lines: string[] = [];
  for (let size = 0; !keys.has("ElementDataFile"); ) {
    const line = await stream.line(MAX_TEXT_HEADER - size);
    size += (line?.length ?? 0) + 1;
    const [, key, value] = /^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line ?? "") ?? [];
    if (line === null || key === undefined || value === undefined || size >= MAX_TEXT_HEADER) {
      throw new DataError(
        `${path}: expected MetaImage lines 'key = value' up to ElementDataFile, ` +
          `received ${line === null ? "the end of the file" : JSON.stringify(line.slice(0, 20))}; give a .mha or .mhd file`,
      );
    }
    keys.set(key, value);
    lines.push(line);
  }
  return { keys, bytes: Buffer.from(lines.join("\n"), "latin1") };
}

function describe(
  path: string,
  keys: Keys,
  bytes: Uint8Array,
  wanted: WantedVolume,
): { header: VoxelHeader; frame: Frame } {
  const [dimensions = 0] = readNumbers(path, "NDims", required(path, keys, "NDims"), 1);
  const extents = readNumbers(path, "DimSize", required(path, keys, "DimSize"), dimensions);
  const channels = keys.get("ElementNumberOfChannels") ?? "1";
  if (channels !== "1" || extents.length < 3 || extents.length > 4) {
    throw new DataError(
      `${path}: expected one 3D volume of numbers, received ${extents.length} axes (${extents.join(" x ")}) ` +
        `with ${channels} numbers per voxel; write each component into a file of its own`,
    );
  }
  if (!readFlag(path, keys, "BinaryData", true)) {
    throw new DataError(`${path}: expected binary voxels, received voxels as text; convert the file`);
  }
  const msb = keys.has("ElementByteOrderMSB") ? "ElementByteOrderMSB" : "BinaryDataByteOrderMSB";
  const frame = chooseFrame(path, extents, wanted);
  const header: VoxelHeader = {
    format: "MetaImage",
    shape: frame.shape,
    channels: frame.channels,
    ...placeAxes(path, readAxes(path, keys, extents.length)),
    fastest: "x",
    type: readType(path, required(path, keys, "ElementType")),
    littleEndian: !readFlag(path, keys, msb),
    slope: 1,
    intercept: 0,
    // The header of a 4D file has numbers for four axes.
    source: extents.length > 3 ? null : { format: "metaimage", bytes, littleEndian: true },
  };
  return { header, frame };
}

function required(path: string, keys: Keys, name: string): string {
  const value = keys.get(name);
  if (value !== undefined) return value;
  throw new DataError(`${path}: expected a key '${name}', received none; the header is damaged`);
}

function readType(path: string, name: string): VoxelType {
  const found = TYPES.get(name);
  if (found) return voxelTypes[found];
  throw new DataError(
    `${path}: expected integer or float voxels, received ElementType '${name}'; convert the file to MET_SHORT or MET_FLOAT`,
  );
}

function readFlag(path: string, keys: Keys, name: string, absent = false): boolean {
  const value = keys.get(name);
  if (value === undefined) return absent;
  if (/^(true|t|1|yes)$/i.test(value)) return true;
  if (/^(false|f|0|no)$/i.test(value)) return false;
  throw new DataError(
    `${path}: expected True or False for '${name}', received '${value}'; correct the header`,
  );
}

function readHeaderSize(path: string, keys: Keys): number {
  const [size = 0] = readNumbers(path, "HeaderSize", keys.get("HeaderSize") ?? "0", 1);
  if (Number.isSafeInteger(size) && size >= -1) return size;
  throw new DataError(
    `${path}: expected -1 or a number of bytes for 'HeaderSize', received ${size}; correct the header`,
  );
}

/** Row i of TransformMatrix is the direction of axis i, not the i-th row of a matrix. */
function readAxes(path: string, keys: Keys, dimensions: number): Axes | null {
  const first = (...names: string[]): string | undefined => names.map((name) => keys.get(name)).find(Boolean);
  const steps = first("ElementSpacing", "ElementSize");
  if (steps === undefined) return null;
  const spacing = readNumbers(path, "ElementSpacing", steps, dimensions);
  const matrix = first("TransformMatrix", "Rotation", "Orientation") ?? identity(dimensions);
  const directions = readNumbers(path, "TransformMatrix", matrix, dimensions ** 2);
  const place = first("Offset", "Origin", "Position") ?? "0 ".repeat(dimensions);
  const origin = readNumbers(path, "Offset", place, dimensions);
  const step = (axis: 0 | 1 | 2): Vec3 => {
    const [x = 0, y = 0, z = 0] = directions.slice(dimensions * axis);
    const length = spacing[axis] ?? 0;
    return [x * length, y * length, z * length];
  };
  const [x = 0, y = 0, z = 0] = origin;
  return { columns: [step(0), step(1), step(2), [x, y, z]], toRas: LPS };
}

function identity(dimensions: number): string {
  return Array.from({ length: dimensions ** 2 }, (_, i) => (i % (dimensions + 1) === 0 ? 1 : 0)).join(" ");
}

/** One file with plain voxels: the size of packed ones would have to stand before them. */
function planMetaimage(_path: string, grid: FileGrid, kind: VoxelKind): FilePlan {
  const lines = [
    "ObjectType = Image",
    "NDims = 3",
    "BinaryData = True",
    "BinaryDataByteOrderMSB = False",
    "CompressedData = False",
    ...(grid.header?.format === "metaimage" ? keptLines(grid.header) : placeLines(grid)),
    `DimSize = ${grid.shape.join(" ")}`,
    `Comment = ${kind.description}`,
    `ElementType = ${WRITTEN_TYPES[kind.type.name]}`,
    "ElementDataFile = LOCAL",
  ];
  return { head: Buffer.from(`${lines.join("\n")}\n`, "latin1"), littleEndian: true, gzip: "nothing" };
}

function keptLines({ bytes }: FileHeader): string[] {
  const lines = Buffer.from(bytes).toString("latin1").split("\n");
  return lines.filter((line) => !STORAGE.test(line.split("=")[0]?.trim() ?? ""));
}

function placeLines({ affine, spacing }: FileGrid): string[] {
  if (affine === null) return spacing === null ? [] : [`ElementSpacing = ${spacing.join(" ")}`];
  const [x = [], y = [], z = [], origin = []] = lpsColumns(affine);
  const lengths = [x, y, z].map((step) => Math.hypot(...step));
  const directions = [x, y, z].flatMap((step, axis) => step.map((part) => part / (lengths[axis] ?? 1)));
  return [
    `TransformMatrix = ${directions.join(" ")}`,
    `Offset = ${origin.join(" ")}`,
    "CenterOfRotation = 0 0 0",
    `ElementSpacing = ${lengths.join(" ")}`,
  ];
}
