import { asd } from "./asd.js";
import { dice } from "./dice.js";
import type { ClassEvidence } from "./evidence.js";
import { hd95 } from "./hd95.js";
import { jaccard } from "./jaccard.js";

/** Every metric that is reported; one line and one file each. */
const metrics = { dice, jaccard, hd95, asd } satisfies Record<
  string,
  (evidence: ClassEvidence) => number | null
>;

export type MetricKey = keyof typeof metrics;

/** One value per metric; null where it is not defined. */
export type MetricScores = Readonly<Record<MetricKey, number | null>>;

/** All metrics of one class. */
export function scoreEvidence(evidence: ClassEvidence): MetricScores {
  return {
    dice: metrics.dice(evidence),
    jaccard: metrics.jaccard(evidence),
    hd95: metrics.hd95(evidence),
    asd: metrics.asd(evidence),
  };
}
