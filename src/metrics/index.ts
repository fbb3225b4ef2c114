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

/**
 * All metrics of one class.
 *
 * `paperRule` is how the SFR and UA-MT scripts score: all four are 0 when the prediction lacks the class, else as
 * usual. That flatters the distances of a failed case (0 is the best value), so it is reported beside the scores
 * and never instead of them.
 */
export function scoreEvidence(evidence: ClassEvidence): MetricScores & { readonly paperRule: MetricScores } {
  const scores: MetricScores = {
    dice: metrics.dice(evidence),
    jaccard: metrics.jaccard(evidence),
    hd95: metrics.hd95(evidence),
    asd: metrics.asd(evidence),
  };
  const isMissing = evidence.tp + evidence.fp === 0;
  return { ...scores, paperRule: isMissing ? { dice: 0, jaccard: 0, hd95: 0, asd: 0 } : scores };
}
