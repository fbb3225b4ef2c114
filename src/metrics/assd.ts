import type { ClassEvidence } from "./evidence.js";
import { sum } from "./statistics.js";

/** Average symmetric surface distance, medpy's `assd`: the mean of the surface distances of both directions together. */
export function assd({ borders }: ClassEvidence): number {
  const { predictionToReference, referenceToPrediction } = borders;
  return (
    sum(referenceToPrediction, sum(predictionToReference)) /
    (predictionToReference.length + referenceToPrediction.length)
  );
}
