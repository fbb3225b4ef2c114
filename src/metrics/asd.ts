import type { ClassEvidence } from "./evidence.js";

/**
 * Average surface distance, medpy's `asd`: the mean distance of the prediction's border to the reference's. It has a
 * direction; swapping the volumes gives another number. Null when either volume lacks the class.
 */
export function asd({ predictionToReference }: ClassEvidence): number | null {
  if (predictionToReference === undefined || predictionToReference.length === 0) return null;
  return predictionToReference.reduce((sum, distance) => sum + distance, 0) / predictionToReference.length;
}
