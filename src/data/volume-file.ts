import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { version } from "../version.js";
import { describeReadError } from "./formats/byte-stream.js";
import type { VoxelHeader, VoxelKind, VoxelSource, WantedVolume } from "./formats/format.js";
import { formatOf } from "./formats/index.js";
import { type VoxelType, voxelTypes } from "./formats/voxel-type.js";
import type { Grid } from "./grid-match.js";
import { gzip } from "./gzip.js";
import {
  AS_STORED,
  Placement,
  toFileAffine,
  toFileOrder,
  toMemoryAffine,
  toMemoryOrder,
} from "./orientation.js";
import type { Segment } from "./segments.js";
import {
  formatShape,
  type ImageVolume,
  type LabelVolume,
  sameShape,
  type Vec3,
  type Volume,
  type VoxelArray,
  voxelCount,
} from "./volume.js";

/** Largest label id that a written file can hold. */
const MAX_LABEL_ID = 65535;

/** Voxels per piece when writing. */
const WRITE_PIECE = 1 << 18;
/** Relative distance from an integer that rounding of a float32 slope explains (about 8 float32 eps). */
const LABEL_ROUNDING = 1e-6;

/** Takes `count` voxel values, scaled, that stand at position `start` of the file and after, and their stored bytes. */
type VoxelSink = (values: Float64Array, count: number, start: number, stored: Uint8Array) => void;

/**
 * Reads a volume piece by piece. Beyond what the sink keeps, memory does not grow with the file (h5: by the dataset).
 *
 * @param makeSink called once, when the header is known and the file is long enough for it
 * @throws DataError when the file cannot be read, has not this 3D volume of real numbers, or has too few or too many voxels
 */
export async function streamVolume(
  path: string,
  wanted: WantedVolume,
  makeSink: (header: VoxelHeader) => VoxelSink,
): Promise<VoxelHeader> {
  try {
    await using source = await formatOf(path).open(path, wanted);
    const { header } = source;
    // Checked before the voxels get memory: a damaged header can promise terabytes.
    if (valueCount(header) * header.type.bytes > source.maxBytes) refuseSize(path, header, "fewer");
    await decodeVoxels(path, source, makeSink(header));
    return header;
  } catch (error) {
    throw describeReadError(path, error);
  }
}

async function decodeVoxels(path: string, { header, voxels }: VoxelSource, sink: VoxelSink): Promise<void> {
  const { type, slope, intercept, littleEndian } = header;
  const total = valueCount(header);
  let values = new Float64Array(0);
  let done = 0;
  // A part of a voxel that waits for its other bytes.
  let pending: Uint8Array = new Uint8Array(0);
  for await (const piece of voxels) {
    const bytes = pending.length > 0 ? Buffer.concat([pending, piece]) : piece;
    const count = Math.floor(bytes.length / type.bytes);
    pending = bytes.subarray(count * type.bytes);
    if (done + count > total || (done + count === total && pending.length > 0))
      refuseSize(path, header, "more");
    if (values.length < count) values = new Float64Array(count);
    type.decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), count, littleEndian, values);
    if (slope !== 1 || intercept !== 0) {
      for (let i = 0; i < count; i++) values[i] = (values[i] ?? 0) * slope + intercept;
    }
    sink(values, count, done, bytes.subarray(0, count * type.bytes));
    done += count;
  }
  if (done !== total) refuseSize(path, header, `only ${done}`);
}

/** Values in a file: voxels of all channels. */
function valueCount({ shape, channels = 1 }: VoxelHeader): number {
  return voxelCount(shape) * channels;
}

/** `24 x 24 x 16`, and `x 4` with channels. */
function formatExtents({ shape, channels = 1 }: VoxelHeader): string {
  return formatShape(channels === 1 ? shape : [...shape, channels]);
}

function refuseSize(path: string, header: VoxelHeader, received: string): never {
  throw new DataError(
    `${path}: expected ${valueCount(header)} voxels as the header says ` +
      `(${formatExtents(header)}, ${header.type.name}), received ${received}; ` +
      "the header is wrong or the file is cut short, copy or convert it again",
  );
}

/**
 * Reads intensities, float32 after slope and intercept (applied in double; for NIfTI equal to nibabel's get_fdata
 * rounded to float32). Axes are brought to memory's orientation on the way: one copy of the voxels in all.
 *
 * @param frame which volume of a 4D file, from 0
 * @throws DataError as streamVolume, and when a voxel is not a finite float32
 */
export async function readImage(path: string, frame: number | null = null): Promise<ImageVolume> {
  const [image] = await readIntensities(path, frame);
  if (image === undefined) throw new DataError(`${path}: expected a volume, received none; check the file`);
  return image;
}

/** The same, of a 4D file without a chosen frame a volume for each of its channels. @throws DataError as readImage */
export function readChannels(path: string, frame: number | "all" = "all"): Promise<ImageVolume[]> {
  return readIntensities(path, frame);
}

async function readIntensities(path: string, frame: WantedVolume["frame"]): Promise<ImageVolume[]> {
  let volumes: Float32Array<ArrayBuffer>[] = [];
  const header = await streamVolume(path, { content: "image", frame }, (found) => {
    const voxels = voxelCount(found.shape);
    volumes = Array.from({ length: found.channels ?? 1 }, () => new Float32Array(voxels));
    const placement = new Placement(found.shape, found.orientation, found.fastest);
    return (values, count, start) => {
      refuseInfinite(path, found, values, count, start);
      for (let done = 0; done < count; ) {
        const [channel, at] = [Math.floor((start + done) / voxels), (start + done) % voxels];
        const length = Math.min(count - done, voxels - at);
        const volume = volumes[channel];
        if (volume !== undefined) placement.scatter(values.subarray(done, done + length), length, at, volume);
        done += length;
      }
    };
  });
  return volumes.map((data) => ({ ...gridInMemory(header), data }));
}

function refuseInfinite(
  path: string,
  header: VoxelHeader,
  values: Float64Array,
  count: number,
  start: number,
): void {
  for (let i = 0; i < count; i++) {
    const value = Math.fround(values[i] ?? 0);
    if (value - value !== 0) {
      throw new DataError(
        `${path}: expected finite numbers for the voxels, received ${values[i]} at voxel ` +
          `(${voxelAt(header, start + i).join(", ")}); repair or leave out this case`,
      );
    }
  }
}

/** (x, y, z) of the voxel at a place of the file. */
function voxelAt({ shape, fastest }: VoxelHeader, place: number): Vec3 {
  const [nx, ny, nz] = shape;
  const position = place % voxelCount(shape);
  if (fastest === "z")
    return [Math.floor(position / (nz * ny)), Math.floor(position / nz) % ny, position % nz];
  return [position % nx, Math.floor(position / nx) % ny, Math.floor(position / (nx * ny))];
}

/**
 * Reads label ids, stored as any integer or float type: Uint8Array when no id is above 255, else Uint16Array.
 *
 * @param frame which volume of a 4D file, from 0
 * @throws DataError as streamVolume, and when a voxel is no integer in 0..65535
 */
export async function readLabels(path: string, frame: number | null = null): Promise<LabelVolume> {
  let data: Uint8Array | Uint16Array = new Uint8Array(0);
  const header = await streamLabels(path, frame, (found) => {
    data = new Uint8Array(voxelCount(found.shape));
    const placement = new Placement(found.shape, found.orientation, found.fastest);
    return (ids, count, start) => {
      if (data instanceof Uint8Array && largestOf(ids, count) > 255) data = Uint16Array.from(data);
      placement.scatter(ids, count, start, data);
    };
  });
  return { ...gridInMemory(header), data };
}

function largestOf(values: Float64Array, count: number): number {
  let largest = 0;
  for (let i = 0; i < count; i++) largest = Math.max(largest, values[i] ?? 0);
  return largest;
}

/**
 * As streamVolume, of label ids.
 *
 * @throws DataError as readLabels
 */
export function streamLabels(
  path: string,
  frame: number | null,
  makeSink: (header: VoxelHeader) => VoxelSink,
): Promise<VoxelHeader> {
  return streamVolume(path, { content: "label", frame }, (found) => {
    const sink = makeSink(found);
    return (values, count, start, stored) => {
      roundLabels(path, found, values, count, start);
      sink(values, count, start, stored);
    };
  });
}

/** Rounds values to ids in place. */
function roundLabels(
  path: string,
  header: VoxelHeader,
  values: Float64Array,
  count: number,
  start: number,
): void {
  for (let i = 0; i < count; i++) {
    const value = values[i] ?? 0;
    const id = Math.round(value);
    if (!(Math.abs(value - id) <= LABEL_ROUNDING * id && id <= MAX_LABEL_ID)) {
      throw new DataError(
        `${path}: expected whole numbers 0..${MAX_LABEL_ID} for the label ids, received ${value} at voxel ` +
          `(${voxelAt(header, start + i).join(", ")}); give a label file, not an image`,
      );
    }
    values[i] = id;
  }
}

/** Reads where an image (or a frame of it) lies and leaves its voxels. @throws DataError as streamVolume */
export async function readGrid(path: string, frame: number | null = null): Promise<Grid> {
  try {
    await using source = await formatOf(path).open(path, { content: "image", frame: frame ?? "all" });
    return gridInMemory(source.header);
  } catch (error) {
    throw describeReadError(path, error);
  }
}

/** Volumes of an image that are its channels, 1 of a 3D file. @throws DataError as streamVolume */
export async function countChannels(path: string): Promise<number> {
  try {
    await using source = await formatOf(path).open(path, { content: "image", frame: "all" });
    return source.header.channels ?? 1;
  } catch (error) {
    throw describeReadError(path, error);
  }
}

/** Where the voxels of a file lie once they are in memory. */
export function gridInMemory(header: VoxelHeader): Grid {
  const { affine, orientation, source } = header;
  const shape = toMemoryOrder(header.shape, orientation);
  const spacing = header.spacing === null ? null : toMemoryOrder(header.spacing, orientation);
  if (affine === null) return { shape, spacing };
  return {
    shape,
    spacing,
    grid: { affine: toMemoryAffine(affine, orientation, shape), orientation, header: source },
  };
}

/**
 * Writes label ids on the grid of the image that they belong to, in the format of the name's ending: voxels in the
 * order of the image's file, its header where the formats are the same, else a new one. uint8 when no id is above 255,
 * else uint16. The same bytes on every call. Replaces an older file in one step (writeFileAtomic).
 *
 * @param like the image; without a grid (h5) the affine is its spacing, or the identity, and the unit unknown
 * @param segments what the ids stand for; NRRD alone can say so. Absent: what the image's header says, if anything
 * @throws DataError when the shapes differ, the format is only read, or the file cannot be written
 */
export async function writeLabels(
  path: string,
  labels: LabelVolume,
  like: Grid,
  segments?: readonly Segment[],
): Promise<void> {
  const wide = labels.data.some((id) => id > 255);
  const type = wide ? voxelTypes.uint16 : voxelTypes.uint8;
  await writeVoxels(path, labels, like, { type, labels: true, ...(segments && { segments }) });
}

/**
 * Writes intensities as float32 on the grid of `like` (default: the volume's own), otherwise as writeLabels.
 *
 * @throws DataError when the shapes differ, the format is only read, or the file cannot be written
 */
export async function writeImage(path: string, image: ImageVolume, like: Grid = image): Promise<void> {
  await writeVoxels(path, image, like, { type: voxelTypes.float32, labels: false });
}

/**
 * Writes fractions that are stored as bytes, value = byte / 255, on the grid of `like`, otherwise as writeLabels.
 *
 * @param path ends in .nii or .nii.gz, the one format with a scale in its header
 * @throws DataError when the shapes differ or the file cannot be written
 */
export async function writeFractions(path: string, bytes: Volume<Uint8Array>, like: Grid): Promise<void> {
  await writeVoxels(path, bytes, like, { type: voxelTypes.uint8, labels: false, slope: 1 / 255 });
}

async function writeVoxels(
  path: string,
  volume: Volume,
  like: Grid,
  kind: Omit<VoxelKind, "description">,
): Promise<void> {
  const format = formatOf(path);
  if (!format.plan) {
    throw new DataError(
      `${path}: expected a format that can be written, received ${path}; end the name in .nii.gz`,
    );
  }
  if (!sameShape(volume.shape, like.shape)) {
    throw new DataError(
      `${path}: expected ${formatShape(like.shape)} voxels as its image has, ` +
        `received ${formatShape(volume.shape)}; write each result on the grid of its own image`,
    );
  }
  const { grid, spacing } = like;
  const orientation = grid?.orientation ?? AS_STORED;
  const shape = toFileOrder(like.shape, orientation);
  const {
    head,
    littleEndian,
    gzip: packed,
  } = format.plan(
    path,
    {
      shape,
      spacing: spacing === null ? null : toFileOrder(spacing, orientation),
      affine: grid === undefined ? null : toFileAffine(grid.affine, orientation, like.shape),
      header: grid?.header ?? null,
    },
    { ...kind, description: `sfr ${version}` },
  );
  const pieces = voxelPieces(volume.data, new Placement(shape, orientation), kind.type, littleEndian);
  if (packed === "nothing") await writeFileAtomic(path, together([head], pieces));
  else if (packed === "all") await writeFileAtomic(path, gzip(together([head], pieces)));
  else await writeFileAtomic(path, together([head], gzip(pieces)));
}

async function* together(
  ...parts: (Iterable<Uint8Array> | AsyncIterable<Uint8Array>)[]
): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield* part;
}

function* voxelPieces(
  data: VoxelArray,
  placement: Placement,
  type: VoxelType,
  littleEndian: boolean,
): Generator<Uint8Array> {
  for (let start = 0; start < data.length; start += WRITE_PIECE) {
    const count = Math.min(WRITE_PIECE, data.length - start);
    const piece =
      type.bytes === 4
        ? new Float32Array(count)
        : type.bytes === 2
          ? new Uint16Array(count)
          : new Uint8Array(count);
    placement.gather(data, start, piece);
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    // Memory is little-endian on every platform that we support.
    if (!littleEndian && type.bytes === 2) bytes.swap16();
    if (!littleEndian && type.bytes === 4) bytes.swap32();
    yield bytes;
  }
}
