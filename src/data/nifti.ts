import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { DataError } from "../errors.js";
import { version } from "../version.js";
import { writeFileAtomic } from "./atomic-file.js";
import { FLOAT32, UINT8, UINT16 } from "./nifti-dtype.js";
import { gridFor, headerForVoxels, type NiftiHeader, type VoxelKind } from "./nifti-header.js";
import { streamNifti, type VoxelSink } from "./nifti-stream.js";
import {
  type ImageVolume,
  type LabelVolume,
  type Volume,
  type VolumeGrid,
  type VoxelArray,
  voxelAt,
  voxelCount,
} from "./volume.js";

/** Largest label id that a written file can hold. */
export const MAX_LABEL_ID = 65535;

/** Bytes per piece when writing. */
const WRITE_PIECE = 1 << 20;
/** Relative distance from an integer that rounding of a float32 slope explains (about 8 float32 eps). */
const LABEL_ROUNDING = 1e-6;

/**
 * Reads intensities from a NIfTI-1 file (.nii, .nii.gz), float32 after scl_slope and scl_inter (applied
 * in double; equal to nibabel's get_fdata rounded to float32).
 *
 * @throws DataError when the file cannot be read, is no single 3D volume of integers or floats, is cut
 *   short, has no positive spacing, or holds a voxel that is not a finite float32
 */
export async function readNifti(path: string): Promise<ImageVolume> {
  let data = new Float32Array(0);
  const header = await streamNifti(path, (found) => {
    data = new Float32Array(voxelCount(found.shape));
    return imageSink(path, found, data);
  });
  return { shape: header.shape, data, spacing: header.spacing, grid: header.grid };
}

function imageSink(path: string, header: NiftiHeader, data: Float32Array): VoxelSink {
  return (values, count, start) => {
    data.set(values.subarray(0, count), start);
    for (let i = start; i < start + count; i++) {
      const value = data[i] ?? 0;
      if (value - value !== 0) {
        throw new DataError(
          `${path}: expected finite numbers for the voxels, received ${values[i - start]} at voxel ` +
            `(${voxelAt(i, header.shape).join(", ")}); repair or leave out this case`,
        );
      }
    }
  };
}

/**
 * Reads label ids from a NIfTI-1 file (.nii, .nii.gz) of any integer or float type: Uint8Array when no
 * id is above 255, else Uint16Array.
 *
 * @throws DataError as readNifti, and when a voxel is no integer in 0..65535
 */
export async function readNiftiLabels(path: string): Promise<LabelVolume> {
  let data: Uint8Array | Uint16Array = new Uint8Array(0);
  const header = await streamNifti(path, (found) => {
    data = new Uint8Array(voxelCount(found.shape));
    return (values, count, start) => {
      const largest = roundLabels(path, found, values, count, start);
      if (largest > 255 && data instanceof Uint8Array) data = Uint16Array.from(data);
      data.set(values.subarray(0, count), start);
    };
  });
  return { shape: header.shape, data, spacing: header.spacing, grid: header.grid };
}

/** Rounds values to ids in place and returns the largest. */
function roundLabels(
  path: string,
  header: NiftiHeader,
  values: Float64Array,
  count: number,
  start: number,
): number {
  let largest = 0;
  for (let i = 0; i < count; i++) {
    const value = values[i] ?? 0;
    const id = Math.round(value);
    if (!(Math.abs(value - id) <= LABEL_ROUNDING * id && id <= MAX_LABEL_ID)) {
      throw new DataError(
        `${path}: expected whole numbers 0..${MAX_LABEL_ID} for the label ids, received ${value} at voxel ` +
          `(${voxelAt(start + i, header.shape).join(", ")}); give a label file, not an image`,
      );
    }
    values[i] = id;
    if (id > largest) largest = id;
  }
  return largest;
}

/**
 * Writes label ids on the grid of the image that they belong to: dim, pixdim, both forms and units as
 * in its header, uint8 when no id is above 255, else uint16, slope 1, intent "label". Packed when the
 * name ends in .gz, the same bytes on every call. Replaces an older file in one step (writeFileAtomic).
 *
 * @param like the image; without a grid (h5) the affine is its spacing, or the identity, and the unit unknown
 * @throws DataError when the shapes differ or the file cannot be written
 */
export async function writeNiftiLabels(path: string, labels: LabelVolume, like: Volume): Promise<void> {
  const wide = labels.data.some((id) => id > 255);
  const data = wide ? Uint16Array.from(labels.data) : Uint8Array.from(labels.data);
  const kind = { dtype: wide ? UINT16 : UINT8, labels: true, description: `sfr ${version}` };
  await writeVoxels(path, data, kind, gridFor(path, labels.shape, like));
}

/**
 * Writes intensities as float32 on the grid of `like` (default: the volume's own), otherwise as
 * writeNiftiLabels; the intent stays that of the source.
 *
 * @throws DataError when the shapes differ or the file cannot be written
 */
export async function writeNiftiImage(path: string, image: ImageVolume, like: Volume = image): Promise<void> {
  const kind = { dtype: FLOAT32, labels: false, description: `sfr ${version}` };
  await writeVoxels(path, image.data, kind, gridFor(path, image.shape, like));
}

async function writeVoxels(path: string, data: VoxelArray, kind: VoxelKind, grid: VolumeGrid): Promise<void> {
  const pieces = voxelPieces(headerForVoxels(grid, kind), data, grid.littleEndian);
  if (!path.endsWith(".gz")) {
    await writeFileAtomic(path, pieces);
    return;
  }
  // node:zlib writes mtime 0. Level 1: a third of the time of level 6 for masks of nearly the same size.
  const packer = createGzip({ level: 1 });
  await writeFileAtomic(path, Readable.from(pieces).pipe(packer));
}

function* voxelPieces(header: Uint8Array, data: VoxelArray, littleEndian: boolean): Generator<Uint8Array> {
  yield header;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let start = 0; start < bytes.length; start += WRITE_PIECE) {
    const piece = bytes.subarray(start, start + WRITE_PIECE);
    yield littleEndian ? piece : swapped(piece, data.BYTES_PER_ELEMENT);
  }
}

/** A copy in the other byte order; memory is little-endian on every platform that we support. */
function swapped(piece: Uint8Array, bytesPerVoxel: number): Uint8Array {
  const copy = Buffer.from(piece);
  if (bytesPerVoxel === 2) return copy.swap16();
  return bytesPerVoxel === 4 ? copy.swap32() : copy;
}
