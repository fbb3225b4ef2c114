import type { ClassEvidence } from "./evidence.js";

/**
 * 2 |P n R| / (|P| + |R|), medpy's `dc`. 0 when only one volume has the class; null when neither has it (medpy
 * says 0 there, which would punish a correct prediction).
 */
export function dice({ tp, fp, fn }: ClassEvidence): number | null {
  const voxels = 2 * tp + fp + fn;
  return voxels === 0 ? null : (2 * tp) / voxels;
}
