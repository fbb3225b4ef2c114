import { formatDuration } from "../io/progress.js";
import { isDistance, missingClassRule, tableMetrics } from "../metrics/index.js";
import {
  hasAllScores,
  type MetricValues,
  partialCounts,
  type Summary,
  validCountNote,
} from "../metrics/summary.js";
import { layOut } from "./text-table.js";

/** Scores of one arm under the name it is shown by. */
export interface ScoredArm {
  readonly name: string;
  readonly summary: Summary;
  /** Seconds; undefined leaves the column out. */
  readonly wallSeconds?: number;
}

/**
 * Scores as a table of plain text: per arm mean ± sample standard deviation over cases, with classes below it when
 * there are several. Distances carry their unit. Where not all cases have a score, their number stands beside it and
 * the rule below.
 */
export function scoreTable(
  arms: readonly ScoredArm[],
  labelNames: Readonly<Record<string, string>> = {},
): string {
  const hasTime = arms.some(({ wallSeconds }) => wallSeconds !== undefined);
  const units = [...new Set(arms.map(({ summary }) => summary.distance_unit))];
  const unit = units.length === 1 ? units[0] : "mixed";
  const header = tableMetrics.map(({ name }) => (isDistance(name) ? `${name} (${unit})` : name));
  const rows = [["", ...header, "cases", ...(hasTime ? ["time"] : [])]];
  for (const { name, summary, wallSeconds } of arms) {
    const time = hasTime ? [wallSeconds === undefined ? "" : formatDuration(wallSeconds)] : [];
    const labels = Object.keys(summary.mean);
    const isAlone = labels.length === 1;
    const counts = isAlone ? partialCounts(summary, labels[0] ?? "") : {};
    const scores = scoreCells(summary.foreground_mean, summary.foreground_sd, counts);
    rows.push([name, ...scores, String(summary.metric_per_case.length), ...time]);
    for (const label of isAlone ? [] : labels) {
      const cells = scoreCells(summary.mean[label], summary.sd[label], partialCounts(summary, label));
      const labelName = labelNames[label];
      rows.push([`  ${labelName === undefined ? `label ${label}` : `${labelName} (${label})`}`, ...cells]);
    }
  }
  const isComplete = arms.every(({ summary }) => hasAllScores(summary));
  return isComplete ? layOut(rows) : `${layOut(rows)}\n\n${missingClassRule} ${validCountNote}`;
}

function scoreCells(
  means: MetricValues | undefined,
  sds: MetricValues | undefined,
  counts: ReturnType<typeof partialCounts>,
): string[] {
  return tableMetrics.map(({ name, digits }) => {
    const mean = means?.[name] ?? null;
    if (mean === null) return "-";
    const sd = sds?.[name] ?? null;
    const count = counts[name];
    const spread = sd === null ? "" : ` ± ${sd.toFixed(digits)}`;
    return `${mean.toFixed(digits)}${spread}${count === undefined ? "" : ` (n=${count})`}`;
  });
}
