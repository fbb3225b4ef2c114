import { DataError } from "../../errors.js";
import { isSegmentLine, segmentLines } from "../segments.js";
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

/** Names of the types in the order of the standard (teem.sourceforge.net/nrrd/format.html). */
const TYPE_NAMES: readonly (readonly [RegExp, VoxelType["name"]])[] = [
  [/^(signed char|int8|int8_t)$/, "int8"],
  [/^(uchar|unsigned char|uint8|uint8_t)$/, "uint8"],
  [/^((signed )?short( int)?|int16|int16_t)$/, "int16"],
  [/^(ushort|unsigned short( int)?|uint16|uint16_t)$/, "uint16"],
  [/^((signed )?int|int32|int32_t)$/, "int32"],
  [/^(uint|unsigned int|uint32|uint32_t)$/, "uint32"],
  [/^(longlong|(signed )?long long( int)?|int64|int64_t)$/, "int64"],
  [/^(ulonglong|unsigned long long( int)?|uint64|uint64_t)$/, "uint64"],
  [/^float$/, "float32"],
  [/^double$/, "float64"],
];

/** Spaces by name; anything else is taken for LPS, as ITK does. */
const SPACES: readonly (readonly [RegExp, Vec3])[] = [
  [/^(right-anterior-superior|ras)$/i, [1, 1, 1]],
  [/^(left-anterior-superior|las)$/i, [-1, 1, 1]],
];

/** Fields that say how voxels are stored; all others of an image go into its results. */
const STORAGE =
  /^(type|dimension|sizes|encoding|endian|content|data ?file|byte ?skip|line ?skip|number|block ?size|min|max|old ?min|old ?max|sample ?units)$/i;

/** NRRD 1 to 5, attached or detached, raw or gzip, 3D or 4D; results are attached and keep the fields of their image. */
export const nrrd: VolumeFormat = {
  extensions: [".seg.nrrd", ".nrrd", ".nhdr"],
  holdsLabel: false,
  resultExtension: ".nrrd",
  async open(path, wanted) {
    let stream = await ByteStream.open(path);
    try {
      const { fields, bytes } = await readFields(stream, path);
      const { header, frame } = describe(path, fields, bytes, wanted);
      const voxelBytes = header.shape.reduce((product, extent) => product * extent, header.type.bytes);
      const dataFile = fields.get("data file") ?? fields.get("datafile");
      const isGzip = readEncoding(path, fields) === "gzip";
      const byteSkip = readSkip(path, fields, "byte skip");
      if (dataFile !== undefined) {
        await stream[Symbol.asyncDispose]();
        stream = await ByteStream.openData(
          besideHeader(path, dataFile),
          byteSkip === -1 ? -voxelBytes * frame.count : 0,
        );
      }
      for (let lines = readSkip(path, fields, "line skip"); lines > 0; lines--)
        await stream.line(MAX_TEXT_HEADER);
      if (isGzip) stream = stream.unpacked();
      if (byteSkip > 0) await stream.skip(byteSkip);
      return await stream.asSource(header, frame);
    } catch (error) {
      await stream[Symbol.asyncDispose]();
      throw error;
    }
  },
  plan: planNrrd,
  kept: (header) => keptLines(header).join("\n"),
};

type Fields = ReadonlyMap<string, string>;

/** Fields in lower case, and the header up to the empty line as it stands. */
async function readFields(stream: ByteStream, path: string): Promise<{ fields: Fields; bytes: Uint8Array }> {
  const magic = await stream.line(64);
  if (magic === null || !/^NRRD000[1-5]$/.test(magic)) {
    throw new DataError(
      `${path}: expected an NRRD file, received ${JSON.stringify((magic ?? "").slice(0, 20))} as its first line; ` +
        "give a .nrrd file",
    );
  }
  const fields = new Map<string, string>();
  const lines = [magic];
  for (let size = 0; ; ) {
    const line = await stream.line(MAX_TEXT_HEADER - size);
    // A detached header may end without an empty line.
    if (line === null || line === "") break;
    size += line.length + 1;
    if (size >= MAX_TEXT_HEADER) {
      throw new DataError(
        `${path}: expected an empty line after the header, received none; copy the file again`,
      );
    }
    lines.push(line);
    const [, name, value] = /^([^:#=]+):\s+?(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) fields.set(name.trim().toLowerCase(), value.trim());
  }
  return { fields, bytes: Buffer.from(lines.join("\n"), "latin1") };
}

function describe(
  path: string,
  fields: Fields,
  bytes: Uint8Array,
  wanted: WantedVolume,
): { header: VoxelHeader; frame: Frame } {
  const dimension = readNumbers(path, "dimension", required(path, fields, "dimension"), 1)[0] ?? 0;
  const sizes = readNumbers(path, "sizes", required(path, fields, "sizes"), dimension);
  const given = fields.get("space directions") ?? "";
  // A fourth axis counts volumes when it alone has no direction; in front of others it counts numbers per voxel.
  const isPlain = sizes.length === 3 ? !given.includes("none") : /^[^n]+none$/.test(given);
  if (sizes.length < 3 || sizes.length > 4 || !isPlain) {
    throw new DataError(
      `${path}: expected one 3D volume of numbers, received ${sizes.length} axes (${sizes.join(" x ")})` +
        `${/none/.test(given) ? ", some without direction" : ""}; write each component into a file of its own`,
    );
  }
  const type = readType(path, required(path, fields, "type"));
  const frame = chooseFrame(path, sizes, wanted);
  const header: VoxelHeader = {
    format: "NRRD",
    shape: frame.shape,
    channels: frame.channels,
    ...placeAxes(path, readAxes(path, fields)),
    fastest: "x",
    type,
    littleEndian: readEndian(path, fields, type),
    slope: 1,
    intercept: 0,
    // The header of a 4D file has fields for four axes.
    source: sizes.length > 3 ? null : { format: "nrrd", bytes, littleEndian: true },
  };
  return { header, frame };
}

function required(path: string, fields: Fields, name: string): string {
  const value = fields.get(name);
  if (value !== undefined) return value;
  throw new DataError(`${path}: expected a field '${name}', received none; the header is damaged`);
}

function readType(path: string, name: string): VoxelType {
  const found = TYPE_NAMES.find(([pattern]) => pattern.test(name.toLowerCase()));
  if (found) return voxelTypes[found[1]];
  throw new DataError(
    `${path}: expected integer or float voxels, received type '${name}'; convert the file to short or float`,
  );
}

function readEndian(path: string, fields: Fields, type: VoxelType): boolean {
  if (type.bytes === 1) return true;
  const endian = required(path, fields, "endian").toLowerCase();
  if (endian === "little" || endian === "big") return endian === "little";
  throw new DataError(
    `${path}: expected little or big for 'endian', received '${endian}'; correct the header`,
  );
}

function readEncoding(path: string, fields: Fields): "raw" | "gzip" {
  const encoding = required(path, fields, "encoding").toLowerCase();
  if (encoding === "raw") return "raw";
  if (encoding === "gzip" || encoding === "gz") return "gzip";
  throw new DataError(
    `${path}: expected raw or gzip for 'encoding', received '${encoding}'; convert the file to gzip`,
  );
}

function readSkip(path: string, fields: Fields, name: "byte skip" | "line skip"): number {
  const [skip = 0] = readNumbers(path, name, fields.get(name) ?? fields.get(name.replace(" ", "")) ?? "0", 1);
  const isFromEnd = skip === -1 && name === "byte skip" && readEncoding(path, fields) === "raw";
  const isDetached = fields.has("data file") || fields.has("datafile");
  if (Number.isSafeInteger(skip) && (skip >= 0 ? skip <= MAX_TEXT_HEADER : isFromEnd && isDetached))
    return skip;
  throw new DataError(
    `${path}: expected a small whole number for '${name}', received ${skip}; correct the header`,
  );
}

function readAxes(path: string, fields: Fields): Axes | null {
  const space = fields.get("space") ?? "";
  const toRas = SPACES.find(([pattern]) => pattern.test(space))?.[1] ?? LPS;
  const directions = fields.get("space directions");
  const origin = readVectors(path, "space origin", fields.get("space origin") ?? "(0,0,0)", 1);
  if (directions !== undefined) {
    return { columns: [...readVectors(path, "space directions", directions, 3), ...origin], toRas };
  }
  const spacings = fields.get("spacings");
  if (spacings === undefined) return null;
  const [x = 0, y = 0, z = 0] = readNumbers(path, "spacings", spacings, 3);
  return { columns: [[x, 0, 0], [0, y, 0], [0, 0, z], ...origin], toRas };
}

/** `(1,0,0) (0,1,0) (0,0,1)`. */
function readVectors(path: string, field: string, text: string, count: number): Vec3[] {
  const vectors = [...text.matchAll(/\(([^()]*)\)/g)].map(([, inner = ""]) =>
    readNumbers(path, field, inner.replaceAll(",", " "), 3),
  );
  if (vectors.length === count) return vectors.map(([x = 0, y = 0, z = 0]) => [x, y, z]);
  throw new DataError(
    `${path}: expected ${count} vectors in parentheses for '${field}', received '${text}'; correct the header`,
  );
}

/** An attached header: how the new voxels are stored, then the other fields as in the image's header. */
function planNrrd(_path: string, grid: FileGrid, kind: VoxelKind): FilePlan {
  const { segments } = kind;
  const kept = grid.header?.format === "nrrd" ? keptLines(grid.header) : placeLines(grid);
  const lines = [
    "NRRD0005",
    `# ${kind.description}`,
    `type: ${kind.type.name === "float32" ? "float" : kind.type.name}`,
    "dimension: 3",
    `sizes: ${grid.shape.join(" ")}`,
    "encoding: gzip",
    ...(kind.type.bytes > 1 ? ["endian: little"] : []),
    ...(segments === undefined ? kept : kept.filter((line) => !isSegmentLine(line))),
    ...segmentLines(segments ?? []).map(utf8),
  ];
  return { head: Buffer.from(`${lines.join("\n")}\n\n`, "latin1"), littleEndian: true, gzip: "voxels" };
}

/** The header is written byte by byte, as it was read. */
function utf8(line: string): string {
  return Buffer.from(line, "utf8").toString("latin1");
}

function keptLines({ bytes }: FileHeader): string[] {
  const [, ...lines] = Buffer.from(bytes).toString("latin1").split("\n");
  return lines.filter(
    (line) => !line.startsWith("#") && !STORAGE.test(/^([^:]*):\s/.exec(line)?.[1]?.trim() ?? ""),
  );
}

function placeLines({ affine, spacing }: FileGrid): string[] {
  if (affine === null) return spacing === null ? [] : [`spacings: ${spacing.join(" ")}`];
  const [x, y, z, origin] = lpsColumns(affine).map((vector) => `(${vector.join(",")})`);
  return [
    "space: left-posterior-superior",
    `space directions: ${x} ${y} ${z}`,
    "kinds: domain domain domain",
    `space origin: ${origin}`,
  ];
}
