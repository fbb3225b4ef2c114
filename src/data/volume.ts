/** Three numbers in (x, y, z) order. */
export type Vec3 = readonly [number, number, number];

/** A 4x4 matrix by rows that maps voxel indices (i, j, k, 1) to scanner coordinates (x, y, z, 1). */
export type Affine = readonly (readonly [number, number, number, number])[];

/** What is needed to write a volume back on the grid that it was read from. */
export interface VolumeGrid {
  /** The 348 bytes of the NIfTI-1 header as they stood in the file. */
  readonly header: Uint8Array;
  /** Byte order of the header and of the voxels. */
  readonly littleEndian: boolean;
  /** Voxel index to scanner coordinates, in the unit of the header (mm as a rule). */
  readonly affine: Affine;
}

/** Element types that a volume can have: intensities are float32, label ids are unsigned integers. */
export type VoxelArray = Float32Array | Uint8Array | Uint16Array;

/** One 3D volume in memory. */
export interface Volume<T extends VoxelArray = VoxelArray> {
  /** Extents in voxels, (x, y, z). */
  readonly shape: Vec3;
  /** Voxels in memory order [z][y][x], x fastest; `shape[0] * shape[1] * shape[2]` of them. */
  readonly data: T;
  /** Distance of voxel centres along x, y, z in mm; null when the source does not say. */
  readonly spacing: Vec3 | null;
  /** Present when the volume came from, or shall go to, a NIfTI file. */
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

/** (x, y, z) of the voxel at a position in memory. */
export function voxelAt(index: number, shape: Vec3): Vec3 {
  const x = index % shape[0];
  const y = Math.floor(index / shape[0]) % shape[1];
  return [x, y, Math.floor(index / (shape[0] * shape[1]))];
}

/** True when both shapes have the same three extents. */
export function sameShape(a: Vec3, b: Vec3): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}

/** `64 x 64 x 48`, for messages. */
export function formatShape(shape: readonly number[]): string {
  return shape.join(" x ");
}
