import { DataError } from "../errors.js";
import { isDistance, type MetricName } from "./index.js";
import { bootstrapInterval, type Interval, mean, wilcoxonSignedRank } from "./statistics.js";
import type { ByLabel, Summary } from "./summary.js";

/** How one metric of one class differs between two sets of predictions, over the cases that have it in both. */
export interface Comparison {
  /** Original label id as text; null: the mean over a case's classes. */
  readonly label: string | null;
  readonly metric: MetricName;
  readonly cases: number;
  readonly first: number;
  readonly second: number;
  /** Mean of second - first, and its 95 % bootstrap interval; null for fewer than two cases. */
  readonly difference: number;
  readonly ci95: Interval | null;
  /** Cases in which the second is better, and the first. */
  readonly better: number;
  readonly worse: number;
  /** Two-sided p of Wilcoxon's signed-rank test; null when no case differs. */
  readonly p: number | null;
}

/**
 * Compares two sets of predictions of the same cases, pair by pair.
 *
 * @param metrics which metrics, in this order
 * @throws DataError when they have no case in common, or their distances have different units
 */
export function compareSummaries(
  first: Pick<Summary, "metric_per_case">,
  second: Pick<Summary, "metric_per_case">,
  metrics: readonly MetricName[],
): Comparison[] {
  const others = new Map(second.metric_per_case.map((item) => [item.id, item]));
  const pairs = first.metric_per_case.flatMap((item) => {
    const other = others.get(item.id);
    return other === undefined ? [] : [[item, other] as const];
  });
  const [pair] = pairs;
  if (pair === undefined) {
    const [a, b] = [first, second].map(({ metric_per_case: [item] }) => item?.id ?? "no case");
    throw new DataError(
      `compare: expected scores of the same cases, received ${a}, ... and ${b}, ...; compare two predictions of one test set`,
    );
  }
  const mixed = pairs.find(([a, b]) => a.distance_unit !== b.distance_unit);
  if (mixed !== undefined && metrics.some(isDistance)) {
    throw new DataError(
      `compare: expected distances of case '${mixed[0].id}' in ${mixed[0].distance_unit} in both, received ` +
        `${mixed[1].distance_unit}; score both against the same references`,
    );
  }
  const labels = [...new Set(pairs.flat().flatMap((item) => Object.keys(item.metrics)))].sort(
    (a, b) => +a - +b,
  );
  const rows = labels.length > 1 ? [null, ...labels] : labels;
  return rows.flatMap((label) =>
    metrics.flatMap((metric) => {
      const values = pairs.flatMap(([a, b]) => {
        const both = [scoreOf(a.metrics, label, metric), scoreOf(b.metrics, label, metric)] as const;
        return both[0] === null || both[1] === null ? [] : [[both[0], both[1]] as const];
      });
      return values.length === 0 ? [] : [comparisonOf(label, metric, values)];
    }),
  );
}

function scoreOf(metrics: ByLabel, label: string | null, metric: MetricName): number | null {
  if (label !== null) return metrics[label]?.[metric] ?? null;
  return mean(Object.values(metrics).flatMap((values) => values[metric] ?? []));
}

function comparisonOf(
  label: string | null,
  metric: MetricName,
  values: readonly (readonly [number, number])[],
): Comparison {
  const differences = values.map(([a, b]) => b - a);
  const gains = isDistance(metric) ? differences.map((d) => -d) : differences;
  return {
    label,
    metric,
    cases: values.length,
    first: mean(values.map(([a]) => a)) ?? 0,
    second: mean(values.map(([, b]) => b)) ?? 0,
    difference: mean(differences) ?? 0,
    ci95: bootstrapInterval(differences),
    better: gains.filter((gain) => gain > 0).length,
    worse: gains.filter((gain) => gain < 0).length,
    p: wilcoxonSignedRank(differences),
  };
}
