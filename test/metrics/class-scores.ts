import type { Counts } from "../../src/metrics/evidence.js";
import { type MetricScores, metricNames } from "../../src/metrics/index.js";
import type { ClassScores } from "../../src/metrics/scores.js";

const someCounts: Counts = { tp: 10, fp: 2, fn: 3, tn: 85, nPred: 12, nRef: 13 };

/** Scores of a class with these metrics, null in all others. */
export function classScores(
  label: number,
  metrics: Partial<MetricScores>,
  counts: Partial<Counts> = {},
): ClassScores {
  const none = Object.fromEntries(metricNames.map((name) => [name, null])) as MetricScores;
  return { label, metrics: { ...none, ...metrics }, counts: { ...someCounts, ...counts } };
}
