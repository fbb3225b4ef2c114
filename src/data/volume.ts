import { DataError } from "../errors.js";

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

/**
 * Where the axes of a volume point, as three letters for x, y, z: `RAS` when x goes to the patient's right, y to the
 * front (anterior), z to the head (superior); L, P, I the other ways. An oblique axis counts as the direction that is
 * nearest to it.
 *
 * @returns undefined when the header has neither an s-form nor a q-form and so does not say
 */
export function orientationOf({ header, littleEndian, affine }: VolumeGrid): string | undefined {
  const view = new DataView(header.buffer, header.byteOffset);
  const [qform, sform] = [view.getInt16(252, littleEndian), view.getInt16(254, littleEndian)];
  return qform > 0 || sform > 0 ? axisLetters(affine) : undefined;
}

function axisLetters(affine: Affine): string {
  const letters = ["RL", "AP", "SI"];
  const codes = ["", "", ""];
  const entries = [0, 1, 2].flatMap((row) =>
    [0, 1, 2].map((column) => ({ row, column, value: affine[row]?.[column] ?? 0 })),
  );
  const length = (column: number) => Math.hypot(...[0, 1, 2].map((row) => affine[row]?.[column] ?? 0)) || 1;
  // The clearest axis chooses first, and no direction is given twice.
  entries.sort((a, b) => Math.abs(b.value) / length(b.column) - Math.abs(a.value) / length(a.column));
  const taken = new Set<number>();
  for (const { row, column, value } of entries) {
    if (taken.has(row) || codes[column] !== "") continue;
    taken.add(row);
    codes[column] = letters[row]?.[value < 0 ? 1 : 0] ?? "";
  }
  return codes.join("");
}

/** The axes of a volume or of a set of them. */
export interface Orientation {
  /** As orientationOf gives it. */
  readonly code: string;
  /** Whose axes they are, for messages. */
  readonly of: string;
}

/**
 * Refuses a volume whose axes point elsewhere than those it belongs to; one that does not say passes.
 *
 * @param where the file or case, for the message
 * @throws DataError
 */
export function requireOrientation(where: string, grid: VolumeGrid | undefined, like: Orientation): void {
  const received = grid === undefined ? undefined : orientationOf(grid);
  if (received === undefined || received === like.code) return;
  throw new DataError(
    `${where}: expected axes ${like.code} (x, y, z) as ${like.of} has, received ${received}; ` +
      "nothing is reoriented here, bring all volumes to one orientation",
  );
}

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
