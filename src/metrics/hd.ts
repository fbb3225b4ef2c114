import type { ClassEvidence } from "./evidence.js";

/** Hausdorff distance, medpy's `hd`: the largest surface distance of either direction. */
export function hd({ borders }: ClassEvidence): number {
  const larger = (a: number, b: number) => Math.max(a, b);
  return borders.referenceToPrediction.reduce(larger, borders.predictionToReference.reduce(larger, 0));
}
