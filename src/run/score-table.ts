import { formatDuration } from "./progress.js";
import type { MetricName, Summary } from "./summary.js";

/** Scores of one arm under the name it is shown by. */
export interface ScoredArm {
  readonly name: string;
  readonly summary: Summary;
  /** Seconds; undefined leaves the column out. */
  readonly wallSeconds?: number;
}

const columns: readonly { readonly name: MetricName; readonly digits: number }[] = [
  { name: "Dice", digits: 3 },
  { name: "Jaccard", digits: 3 },
  { name: "HD95", digits: 2 },
  { name: "ASD", digits: 2 },
];

/**
 * Scores as a table of plain text: per arm mean ± sample standard deviation over cases, with classes below it when
 * there are several. Distances carry their unit.
 */
export function scoreTable(
  arms: readonly ScoredArm[],
  labelNames: Readonly<Record<string, string>> = {},
): string {
  const hasTime = arms.some(({ wallSeconds }) => wallSeconds !== undefined);
  const units = [...new Set(arms.map(({ summary }) => summary.distance_unit))];
  const unit = units.length === 1 ? units[0] : "mixed";
  const header = columns.map(({ name }) => (name === "HD95" || name === "ASD" ? `${name} (${unit})` : name));
  const rows = [["", ...header, "cases", ...(hasTime ? ["time"] : [])]];
  for (const { name, summary, wallSeconds } of arms) {
    const time = hasTime ? [wallSeconds === undefined ? "" : formatDuration(wallSeconds)] : [];
    const scores = columns.map(({ name: metric, digits }) =>
      score(summary.foreground_mean[metric], summary.foreground_sd[metric], digits),
    );
    rows.push([name, ...scores, String(summary.metric_per_case.length), ...time]);
    const labels = Object.keys(summary.mean);
    for (const label of labels.length > 1 ? labels : []) {
      const cells = columns.map(({ name: metric, digits }) =>
        score(summary.mean[label]?.[metric] ?? null, summary.sd[label]?.[metric] ?? null, digits),
      );
      const labelName = labelNames[label];
      rows.push([`  ${labelName === undefined ? `label ${label}` : `${labelName} (${label})`}`, ...cells]);
    }
  }
  return layOut(rows);
}

function score(mean: number | null, sd: number | null, digits: number): string {
  if (mean === null) return "-";
  return sd === null ? mean.toFixed(digits) : `${mean.toFixed(digits)} ± ${sd.toFixed(digits)}`;
}

/** First column to the left, the others to the right. */
function layOut(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
  const rule = "-".repeat(Math.max(...lines.map((line) => line.length)));
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}
