import { makeGrid } from "../data/nifti-header.js";
import type { Affine, Vec3, Volume } from "../data/volume.js";

/** Position of the byte xyzt_units in a NIfTI-1 header, and mm per spatial unit (1 m, 2 mm, 3 um). */
const unitsByte = 123;
const mmPerUnit: Readonly<Record<number, number>> = { 1: 1000, 3: 0.001 };

/** What a volume's results are written like: its extents, spacing and grid, no voxels. */
export type OutputGrid = Pick<Volume, "shape" | "spacing" | "grid">;

/**
 * The grid of a volume after the 2x2x2 mean: half the extents (an odd remainder dropped), twice the spacing, origin at
 * the middle of the first block, which is (0.5, 0.5, 0.5) in old voxels. In mm; without a known spacing no grid.
 */
export function halvedGrid(source: OutputGrid): OutputGrid {
  const half = (extent: number) => Math.floor(extent / 2);
  const shape: Vec3 = [half(source.shape[0]), half(source.shape[1]), half(source.shape[2])];
  if (source.spacing === null) return { shape, spacing: null };
  const spacing: Vec3 = [2 * source.spacing[0], 2 * source.spacing[1], 2 * source.spacing[2]];
  if (source.grid === undefined) return { shape, spacing };
  const factor = mmPerUnit[(source.grid.header[unitsByte] ?? 0) & 7] ?? 1;
  const rows = source.grid.affine
    .slice(0, 3)
    .map(
      ([x, y, z, origin]) =>
        [2 * factor * x, 2 * factor * y, 2 * factor * z, factor * (origin + (x + y + z) / 2)] as const,
    );
  const affine: Affine = [...rows, [0, 0, 0, 1]];
  return { shape, spacing, grid: makeGrid({ shape, spacing, affine }) };
}
