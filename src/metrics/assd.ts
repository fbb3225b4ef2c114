import type { ClassEvidence } from "./evidence.js";

/** Average symmetric surface distance, medpy's `assd`: the mean of the surface distances of both directions together. */
export function assd({ borders }: ClassEvidence): number {
  const { predictionToReference, referenceToPrediction } = borders;
  const add = (sum: number, distance: number) => sum + distance;
  const sum = referenceToPrediction.reduce(add, predictionToReference.reduce(add, 0));
  return sum / (predictionToReference.length + referenceToPrediction.length);
}
