import type { ClassEvidence } from "./evidence.js";

/** |P n R| / |P|, medpy's `precision`: the part of the prediction that is right. */
export function precision({ counts }: ClassEvidence): number {
  return counts.tp / counts.nPred;
}
