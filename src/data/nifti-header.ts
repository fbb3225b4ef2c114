import { isNIFTI1, NIFTI1 } from "nifti-reader-js";
import { DataError } from "../errors.js";
import { LAST_ROW, readAffine } from "./nifti-affine.js";
import { type NiftiDtype, niftiDtypeByCode, niftiTypeName } from "./nifti-dtype.js";
import { type Affine, formatShape, sameShape, type Vec3, type VolumeGrid } from "./volume.js";

/** Bytes of a NIfTI-1 header. */
export const HEADER_BYTES = 348;
/** First byte of the voxels in the files that we write: header and the empty extension flag. */
const VOXEL_OFFSET = 352;

const NIFTI2_BYTES = 540;
const INTENT_LABEL = 1002;
const MM_PER_UNIT: Readonly<Record<number, number>> = { 1: 1000, 2: 1, 3: 0.001 };

/** What reading the voxels needs to know. */
export interface NiftiHeader {
  /** Extents in voxels, (x, y, z). */
  readonly shape: Vec3;
  /** mm. */
  readonly spacing: Vec3;
  readonly dtype: NiftiDtype;
  /** First byte of the voxels in the unpacked file. */
  readonly voxelOffset: number;
  /** value = stored * slope + intercept. */
  readonly slope: number;
  readonly intercept: number;
  readonly grid: VolumeGrid;
}

/**
 * Reads a NIfTI-1 header. nifti-reader-js takes the fields apart; what it gets wrong (affine, 2D
 * files, trailing dimensions) is decided here from the raw fields.
 *
 * @param bytes the first bytes of the unpacked file; only the first 348 are used
 * @param path for messages
 * @throws DataError when this is no NIfTI-1 file of one 3D volume of real numbers
 */
export function parseNiftiHeader(bytes: Uint8Array, path: string): NiftiHeader {
  // A copy of exactly 348 bytes: with more, nifti-reader-js would go on into the extensions.
  const header = Uint8Array.from(bytes.subarray(0, HEADER_BYTES));
  const fields = readFields(header, path);
  const shape = readShape(fields, path);
  const { slope, intercept } = readScaling(fields, path);
  return {
    shape,
    spacing: readSpacing(fields, path),
    dtype: readDtype(fields, path),
    voxelOffset: readVoxelOffset(fields, path),
    slope,
    intercept,
    grid: { header, littleEndian: fields.littleEndian, affine: readAffine(header, fields, path) },
  };
}

function readFields(header: Uint8Array<ArrayBuffer>, path: string): NIFTI1 {
  const wrong = (received: string, cure: string): DataError =>
    new DataError(`${path}: expected a NIfTI-1 header, received ${received}; ${cure}`);
  if (header.length < HEADER_BYTES) {
    throw wrong(`a file of ${header.length} bytes (unpacked)`, "copy the file again, it is cut short");
  }
  const view = new DataView(header.buffer);
  const sizes = [view.getInt32(0, true), view.getInt32(0, false)];
  if (sizes.includes(NIFTI2_BYTES)) throw wrong("a NIfTI-2 file", "convert it to NIfTI-1");
  const magic = String.fromCharCode(...header.subarray(344, 348));
  if (magic.startsWith("ni1")) {
    throw wrong("the header of a .hdr/.img pair", "convert it to one .nii or .nii.gz file");
  }
  if (!isNIFTI1(header.buffer) || magic[3] !== "\0" || !sizes.includes(HEADER_BYTES)) {
    const found = JSON.stringify(magic);
    throw wrong(`another file (size field ${sizes[0]}, magic ${found})`, "give a .nii or .nii.gz file");
  }
  const fields = new NIFTI1();
  fields.readHeader(header.buffer);
  return fields;
}

function field(values: readonly number[], index: number): number {
  return values[index] ?? 0;
}

function readShape(fields: NIFTI1, path: string): Vec3 {
  const rank = field(fields.dims, 0);
  if (rank < 1 || rank > 7) {
    throw new DataError(
      `${path}: expected 1 to 7 for the number of dimensions, received ${rank}; the header is damaged`,
    );
  }
  // Extents beyond the rank mean nothing, whatever they hold (2D files often have 0 there).
  const extents = Array.from({ length: 7 }, (_, i) => (i < rank ? field(fields.dims, i + 1) : 1));
  const given = formatShape(extents.slice(0, rank));
  if (extents.some((extent) => extent < 1)) {
    throw new DataError(
      `${path}: expected at least 1 voxel along every axis, received ${given}; the file is empty or damaged`,
    );
  }
  if (extents.slice(3).some((extent) => extent > 1)) {
    throw new DataError(
      `${path}: expected one 3D volume, received ${given}; split the file into one file per volume`,
    );
  }
  return [field(extents, 0), field(extents, 1), field(extents, 2)];
}

function readSpacing(fields: NIFTI1, path: string): Vec3 {
  const mm = MM_PER_UNIT[fields.xyzt_units & NIFTI1.SPATIAL_UNITS_MASK] ?? 1;
  const [x, y, z] = [1, 2, 3].map((i) => Math.abs(field(fields.pixDims, i)) * mm);
  const spacing: Vec3 = [x ?? 0, y ?? 0, z ?? 0];
  if (spacing.some((step) => !(step > 0 && Number.isFinite(step)))) {
    throw new DataError(
      `${path}: expected positive numbers for the voxel spacing (pixdim), ` +
        `received ${fields.pixDims.slice(1, 4).join(", ")}; correct the header`,
    );
  }
  return spacing;
}

function readDtype(fields: NIFTI1, path: string): NiftiDtype {
  const dtype = niftiDtypeByCode(fields.datatypeCode);
  if (!dtype) {
    throw new DataError(
      `${path}: expected integer or float voxels, received ${niftiTypeName(fields.datatypeCode)}; ` +
        "convert the file to int16 or float32",
    );
  }
  if (fields.numBitsPerVoxel !== dtype.bytes * 8) {
    throw new DataError(
      `${path}: expected ${dtype.bytes * 8} bits per voxel for ${dtype.name}, ` +
        `received ${fields.numBitsPerVoxel}; the header is damaged`,
    );
  }
  return dtype;
}

function readVoxelOffset(fields: NIFTI1, path: string): number {
  const offset = fields.vox_offset;
  if (!Number.isInteger(offset) || offset < VOXEL_OFFSET || offset > 2 ** 31) {
    throw new DataError(
      `${path}: expected ${VOXEL_OFFSET} or more for vox_offset, received ${offset}; the header is damaged`,
    );
  }
  return offset;
}

/** nibabel's rule: a slope of 0 or one that is no number means that values are stored as they are. */
function readScaling(fields: NIFTI1, path: string): { slope: number; intercept: number } {
  const { scl_slope: slope, scl_inter: intercept } = fields;
  if (slope === 0 || !Number.isFinite(slope)) return { slope: 1, intercept: 0 };
  if (!Number.isFinite(intercept)) {
    throw new DataError(
      `${path}: expected a number for scl_inter, received ${intercept}; correct the header`,
    );
  }
  return { slope, intercept };
}

/** Fields of a header that we make ourselves; everything else is 0. */
export interface NewGrid {
  readonly shape: Vec3;
  /** mm; null = unknown: the header then says 1 and "unit unknown". */
  readonly spacing: Vec3 | null;
  /** Default: the spacing on the diagonal, origin 0. */
  readonly affine?: Affine;
}

/** The grid of a volume that came from no NIfTI file: little-endian header with an s-form only. */
export function makeGrid({ shape, spacing, affine }: NewGrid): VolumeGrid {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  const [dx, dy, dz] = spacing ?? [1, 1, 1];
  const rows = affine ?? [[dx, 0, 0, 0], [0, dy, 0, 0], [0, 0, dz, 0], LAST_ROW];
  view.setInt32(0, HEADER_BYTES, true);
  header[38] = "r".charCodeAt(0); // "regular", which every NIfTI-1 file says for old readers
  for (const [i, extent] of [3, ...shape, 1, 1, 1, 1].entries()) view.setInt16(40 + 2 * i, extent, true);
  for (const [i, step] of [1, dx, dy, dz].entries()) view.setFloat32(76 + 4 * i, step, true);
  header[123] = spacing ? NIFTI1.UNITS_MM : NIFTI1.UNITS_UNKNOWN;
  view.setInt16(254, NIFTI1.XFORM_ALIGNED_ANAT, true);
  for (const [i, entry] of rows.slice(0, 3).flat().entries()) view.setFloat32(280 + 4 * i, entry, true);
  return { header, littleEndian: true, affine: rows };
}

/** What the voxels of a file to be written are. */
export interface VoxelKind {
  readonly dtype: NiftiDtype;
  /** True for label ids: the intent says so to viewers. */
  readonly labels: boolean;
  /** Who wrote the file; at most 79 ASCII characters. */
  readonly description: string;
}

/**
 * The first 352 bytes of a file on the same grid: dim, pixdim, both forms, units and everything else
 * as in the source; type, scaling, display range and description as the new voxels need them. Stays in
 * the source's byte order.
 */
export function headerForVoxels(grid: VolumeGrid, kind: VoxelKind): Uint8Array {
  const bytes = new Uint8Array(VOXEL_OFFSET);
  bytes.set(grid.header);
  const view = new DataView(bytes.buffer);
  const little = grid.littleEndian;
  view.setInt16(70, kind.dtype.code, little);
  view.setInt16(72, kind.dtype.bytes * 8, little);
  view.setFloat32(108, VOXEL_OFFSET, little);
  view.setFloat32(112, 1, little); // scl_slope
  view.setFloat32(116, 0, little); // scl_inter
  bytes.fill(0, 124, 132); // cal_max, cal_min: the viewer finds the range itself
  bytes.fill(0, 140, 148); // glmax, glmin, of the old voxels
  bytes.fill(0, 148, 228);
  new TextEncoder().encodeInto(kind.description, bytes.subarray(148, 227));
  if (kind.labels) {
    bytes.fill(0, 56, 68); // intent_p1..3
    view.setInt16(68, INTENT_LABEL, little);
    bytes.fill(0, 328, 344); // intent_name
  }
  bytes.set(new TextEncoder().encode("n+1\0"), 344);
  return bytes;
}

/** The grid itself, or a plain one when the volume has none. @throws DataError when shapes differ. */
export function gridFor(
  path: string,
  shape: Vec3,
  like: { shape: Vec3; spacing: Vec3 | null; grid?: VolumeGrid },
): VolumeGrid {
  if (!sameShape(shape, like.shape)) {
    throw new DataError(
      `${path}: expected ${formatShape(like.shape)} voxels as its image has, ` +
        `received ${formatShape(shape)}; write each result on the grid of its own image`,
    );
  }
  return like.grid ?? makeGrid(like);
}
