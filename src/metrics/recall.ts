import type { ClassEvidence } from "./evidence.js";

/** |P n R| / |R|, medpy's `recall`: the part of the reference that is found. */
export function recall({ counts }: ClassEvidence): number {
  return counts.tp / counts.nRef;
}
