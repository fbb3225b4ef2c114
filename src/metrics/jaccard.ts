import type { ClassEvidence } from "./evidence.js";

/** |P n R| / |P u R|, medpy's `jc`. 0 when only one volume has the class, null when neither has it. */
export function jaccard({ tp, fp, fn }: ClassEvidence): number | null {
  const voxels = tp + fp + fn;
  return voxels === 0 ? null : tp / voxels;
}
