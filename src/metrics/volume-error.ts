import type { ClassEvidence } from "./evidence.js";

/** (|P| - |R|) / |R|, medpy's `ravd`: 0.1 is a tenth too much, -1 nothing at all. */
export function volumeError({ counts }: ClassEvidence): number {
  return (counts.nPred - counts.nRef) / counts.nRef;
}
