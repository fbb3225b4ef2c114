/** Three numbers in (x, y, z) order. */
export type Vec3 = readonly [number, number, number];

/** A 4x4 matrix by rows that maps voxel indices (i, j, k, 1) to scanner coordinates (x, y, z, 1). */
export type Affine = readonly (readonly [number, number, number, number])[];

/** How the axes of a file lie in memory. */
export interface Orientation {
  /** For each axis of memory (x, y, z): the axis of the file that runs along it. */
  readonly axes: Vec3;
  /** For each axis of memory: true when the file runs against it. */
  readonly flips: readonly [boolean, boolean, boolean];
}

/** A header to write results like; each format knows its own. */
export interface FileHeader {
  readonly format: "nifti" | "nrrd" | "metaimage";
  /** As it stood in the file. */
  readonly bytes: Uint8Array;
  /** Byte order of the header's numbers and of the voxels. */
  readonly littleEndian: boolean;
}

/** What is needed to write a volume back on the grid of the file that it was read from, bit for bit. */
export interface VolumeGrid {
  /** Voxel index in memory to scanner coordinates in mm; x to the right, y to the front, z up (RAS+). */
  readonly affine: Affine;
  readonly orientation: Orientation;
  /** Null when the file's format has no header to keep. */
  readonly header: FileHeader | null;
}

/** Element types that a volume can have: intensities are float32, label ids are unsigned integers. */
export type VoxelArray = Float32Array | Uint8Array | Uint16Array;

/** One 3D volume in memory. */
export interface Volume<T extends VoxelArray = VoxelArray> {
  /** Extents in voxels, (x, y, z). */
  readonly shape: Vec3;
  /**
   * Voxels in memory order [z][y][x], x fastest; `shape[0] * shape[1] * shape[2]` of them. With a grid, x runs to the
   * right, y to the front and z up, as closely as the axes allow; without one, as the file has them.
   */
  readonly data: T;
  /** Distance of voxel centres along x, y, z in mm; null when the source does not say. */
  readonly spacing: Vec3 | null;
  /** Present when the place of the voxels in the scanner is known. */
  readonly grid?: VolumeGrid;
}

/** Intensities. */
export type ImageVolume = Volume<Float32Array>;

/** Label ids, or class indices 0..K-1. */
export type LabelVolume = Volume<Uint8Array | Uint16Array>;

/** Number of voxels of a volume of this shape. */
export function voxelCount(shape: Vec3): number {
  return shape[0] * shape[1] * shape[2];
}

/** True when both shapes have the same three extents. */
export function sameShape(a: Vec3, b: Vec3): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}

/** `64 x 64 x 48`, for messages. */
export function formatShape(shape: readonly number[]): string {
  return shape.join(" x ");
}
