import type { ClassEvidence } from "./evidence.js";
import { percentileOfDistances } from "./statistics.js";

/**
 * 95 % Hausdorff distance, medpy's `hd95`: the 95th percentile (numpy's linear interpolation) of the surface
 * distances of both directions together.
 */
export function hd95({ borders }: ClassEvidence): number | null {
  const { predictionToReference, referenceToPrediction } = borders;
  const all = new Float32Array(predictionToReference.length + referenceToPrediction.length);
  all.set(predictionToReference);
  all.set(referenceToPrediction, predictionToReference.length);
  return percentileOfDistances(all, 0.95);
}
