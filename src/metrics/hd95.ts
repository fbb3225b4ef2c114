import type { ClassEvidence } from "./evidence.js";

/**
 * 95 % Hausdorff distance, medpy's `hd95`: the 95th percentile (numpy's linear interpolation) of the surface
 * distances of both directions together. Null when either volume lacks the class.
 */
export function hd95({ predictionToReference, referenceToPrediction }: ClassEvidence): number | null {
  if (predictionToReference === undefined || referenceToPrediction === undefined) return null;
  const all = new Float32Array(predictionToReference.length + referenceToPrediction.length);
  all.set(predictionToReference);
  all.set(referenceToPrediction, predictionToReference.length);
  return percentile(all.sort(), 0.95);
}

/** Value at `fraction` of a sorted list, interpolated between neighbours; null when the list is empty. */
function percentile(sorted: Float32Array, fraction: number): number | null {
  const at = fraction * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) return null;
  return below + (above - below) * (at - Math.floor(at));
}
