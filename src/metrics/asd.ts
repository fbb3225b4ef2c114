import type { ClassEvidence } from "./evidence.js";
import { mean } from "./statistics.js";

/**
 * Average surface distance, medpy's `asd`: the mean distance of the prediction's border to the reference's. It has a
 * direction; swapping the volumes gives another number.
 */
export function asd({ borders }: ClassEvidence): number | null {
  return mean(borders.predictionToReference);
}
