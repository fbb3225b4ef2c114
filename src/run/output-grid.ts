import type { Grid } from "../data/grid-match.js";
import { LAST_ROW } from "../data/orientation.js";
import type { Affine, Vec3 } from "../data/volume.js";

/**
 * The grid of a volume after the 2x2x2 mean: half the extents (an odd remainder dropped), twice the spacing, origin at
 * the middle of the first block, which is (0.5, 0.5, 0.5) in old voxels. Files keep the order of the source's axes;
 * without a known spacing there is no grid.
 */
export function halvedGrid(source: Grid): Grid {
  const half = (extent: number) => Math.floor(extent / 2);
  const shape: Vec3 = [half(source.shape[0]), half(source.shape[1]), half(source.shape[2])];
  if (source.spacing === null) return { shape, spacing: null };
  const spacing: Vec3 = [2 * source.spacing[0], 2 * source.spacing[1], 2 * source.spacing[2]];
  if (source.grid === undefined) return { shape, spacing };
  const rows = source.grid.affine
    .slice(0, 3)
    .map(([x, y, z, origin]) => [2 * x, 2 * y, 2 * z, origin + (x + y + z) / 2] as const);
  const affine: Affine = [...rows, LAST_ROW];
  return { shape, spacing, grid: { affine, orientation: source.grid.orientation, header: null } };
}
