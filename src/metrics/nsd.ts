import type { ClassEvidence, SurfaceCells } from "./evidence.js";

/**
 * Normalised surface distance, or surface Dice at a tolerance (Nikolov et al. 2018, equation 3): the part of both
 * surfaces' area that lies within the tolerance of the other surface. Equals `compute_surface_dice_at_tolerance` of
 * the package surface-distance.
 */
export function nsd({ cells, areas, tolerance }: ClassEvidence): number | null {
  const prediction = within(cells.prediction, areas, tolerance);
  const reference = within(cells.reference, areas, tolerance);
  const area = prediction.area + reference.area;
  return area === 0 ? null : (prediction.near + reference.near) / area;
}

/** A surface's area, and the area of its cells that are near the other surface. */
function within(
  { codes, distances }: SurfaceCells,
  areas: Float32Array,
  tolerance: number,
): { area: number; near: number } {
  let area = 0;
  let near = 0;
  for (let i = 0; i < codes.length; i++) {
    const cell = areas[codes[i] ?? 0] ?? 0;
    area += cell;
    if ((distances[i] ?? 0) <= tolerance) near += cell;
  }
  return { area, near };
}
