import type { Comparison } from "../metrics/compare.js";
import { isDistance } from "../metrics/index.js";
import type { DistanceUnit } from "../metrics/summary.js";
import { layOut } from "./text-table.js";

/** Comparisons as a table of plain text, and what its columns mean. */
export function comparisonTable(comparisons: readonly Comparison[], unit: DistanceUnit | "mixed"): string {
  const rows = comparisons.map((item) => {
    const digits = isDistance(item.metric) ? 2 : 3;
    const signed = (value: number) => `${value < 0 ? "" : "+"}${value.toFixed(digits)}`;
    return [
      `${item.label === null ? "mean of classes" : `label ${item.label}`}, ` +
        `${item.metric}${isDistance(item.metric) ? ` (${unit})` : ""}`,
      String(item.cases),
      item.first.toFixed(digits),
      item.second.toFixed(digits),
      signed(item.difference),
      item.ci95 === null ? "-" : `${signed(item.ci95[0])} .. ${signed(item.ci95[1])}`,
      `${item.better} / ${item.worse}`,
      item.p === null ? "-" : item.p.toPrecision(2),
    ];
  });
  const header = ["", "cases", "first", "second", "difference", "95 % interval", "better / worse", "p"];
  return (
    `${layOut([header, ...rows])}\n\n` +
    "Over the cases that both score: means, the mean difference (second - first) with its bootstrap interval, cases in " +
    "which the second is better or worse, and the two-sided p of Wilcoxon's signed-rank test."
  );
}
