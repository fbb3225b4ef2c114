import type { ClassEvidence, Surface } from "./evidence.js";

/**
 * Normalised surface distance, or surface Dice at a tolerance (Nikolov et al. 2018, equation 3): the part of both
 * surfaces' area that lies within the tolerance of the other surface. Equals `compute_surface_dice_at_tolerance` of
 * the package surface-distance.
 */
export function nsd({ surfaces, tolerance }: ClassEvidence): number | null {
  const [prediction, reference] = [
    within(surfaces.prediction, tolerance),
    within(surfaces.reference, tolerance),
  ];
  const area = prediction.area + reference.area;
  return area === 0 ? null : (prediction.near + reference.near) / area;
}

/** A surface's area, and the area of its elements that are near the other surface. */
function within({ areas, distances }: Surface, tolerance: number): { area: number; near: number } {
  let area = 0;
  let near = 0;
  for (let i = 0; i < areas.length; i++) {
    const element = areas[i] ?? 0;
    area += element;
    if ((distances[i] ?? 0) <= tolerance) near += element;
  }
  return { area, near };
}
