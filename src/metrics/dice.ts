import type { ClassEvidence } from "./evidence.js";

/** 2 |P n R| / (|P| + |R|), medpy's `dc`. */
export function dice({ counts }: ClassEvidence): number {
  return (2 * counts.tp) / (counts.nPred + counts.nRef);
}
