import type { ClassEvidence } from "./evidence.js";

/** |P n R| / |P u R|, medpy's `jc`; intersection over union is another name of it. */
export function jaccard({ counts }: ClassEvidence): number {
  return counts.tp / (counts.tp + counts.fp + counts.fn);
}
