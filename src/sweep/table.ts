import { type CsvRow, csvText } from "../io/csv.js";
import { formatDuration } from "../io/progress.js";
import { isDistance, missingClassRule, tableMetrics } from "../metrics/index.js";
import { layOut } from "../run/text-table.js";
import { asWord } from "./jobs.js";
import type { Spread, SweepRow } from "./rows.js";

/** What the columns of the comparison mean, and what holds for all rows. */
export function tableNotes(rows: readonly SweepRow[]): string[] {
  const hasPaper = rows.some(({ paper }) => paper !== undefined);
  const isRepeated = rows.some(({ seeds }) => seeds.length > 1);
  return [
    isRepeated
      ? "Means over seeds of the mean over cases, ± sample standard deviation over seeds (over cases where there is one seed)."
      : "Means ± sample standard deviation over cases.",
    "Δ Dice: mean difference to the row that it builds on (SFR+ on SFR, SFR on the method alone, others on the labelled " +
      "cases alone), over cases, each averaged over the seeds of both; then in how many cases it is better and worse, and " +
      "the two-sided p of Wilcoxon's signed-rank test over cases.",
    "Time: all stages that a run of the row needs, mean over seeds; stages that rows share are counted in each.",
    ...(hasPaper
      ? [
          "Paper: what Li et al. (IEEE TMI 2025) print for that row, distances in voxels; no spread is printed there.",
        ]
      : []),
    missingClassRule,
  ];
}

/** The comparison as plain text. */
export function sweepText(rows: readonly SweepRow[]): string {
  const { head, lines } = cells(rows);
  return layOut([head, ...lines]);
}

/** The comparison as a table of Markdown with its notes. */
export function sweepMarkdown(rows: readonly SweepRow[]): string {
  const { head, lines } = cells(rows);
  const rule = head.map((_, column) => (column === 0 ? "---" : "---:"));
  const table = [head, rule, ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n");
  return `${table}\n\n${tableNotes(rows).join(" ")}\n`;
}

/** Header and cells of the comparison; columns that no row has are left out. */
export function cells(rows: readonly SweepRow[]): { head: string[]; lines: string[][] } {
  const units = new Set(rows.map(({ unit }) => unit));
  const [unit = "voxel"] = units.size === 1 ? units : ["mixed"];
  const columns: { head: string; cell: (row: SweepRow) => string }[] = [
    { head: "", cell: ({ name }) => name },
    ...pathsOf(rows).map((path) => ({
      head: path,
      cell: ({ point }: SweepRow) => (path in point ? asWord(point[path]) : ""),
    })),
    { head: "seeds", cell: ({ seeds }) => seeds.join(" ") },
    ...tableMetrics.flatMap(({ name, digits }) => [
      {
        head: isDistance(name) ? `${name} (${unit})` : name,
        cell: ({ scores }: SweepRow) => spreadText(scores[name], digits),
      },
      { head: `paper ${name}`, cell: ({ paper }: SweepRow) => paper?.scores[name]?.toFixed(digits) ?? "" },
    ]),
    { head: "Δ Dice", cell: ({ test }) => (test === null ? "" : signed(test.difference)) },
    { head: "better / worse", cell: ({ test }) => (test === null ? "" : `${test.better} / ${test.worse}`) },
    { head: "p", cell: ({ test }) => test?.p?.toPrecision(2) ?? "" },
    { head: "parameters", cell: ({ parameters }) => (parameters === null ? "" : countText(parameters)) },
    { head: "time", cell: ({ seconds }) => (seconds === null ? "" : formatDuration(seconds)) },
  ];
  const shown = columns.filter(({ cell }) => rows.some((row) => cell(row) !== ""));
  return {
    head: shown.map(({ head }) => head),
    lines: rows.map((row) => shown.map(({ cell }) => cell(row))),
  };
}

/** The comparison as CSV (RFC 4180): shares from 0 to 1, distances in the row's unit, seconds; empty: not known. */
export function sweepCsv(rows: readonly SweepRow[]): string {
  const paths = pathsOf(rows);
  const ofMetric = (name: string) => [name, `${name}_sd_seeds`, `${name}_sd_cases`, `${name}_paper`];
  const header = [
    ...["name", "method", "pseudo_labels", ...paths, "seeds", "cases", "distance_unit"],
    ...tableMetrics.flatMap(({ name }) => ofMetric(name)),
    ...["against", "Dice_difference", "better", "worse", "p", "parameters", "seconds"],
  ];
  const lines = rows.map((row): CsvRow => {
    const { test } = row;
    return [
      ...[row.name, row.method ?? null, row.kind ?? null],
      ...paths.map((path) => (path in row.point ? asWord(row.point[path]) : null)),
      ...[row.seeds.join(" "), row.cases, row.unit],
      ...tableMetrics.flatMap(({ name }) => {
        const { mean = null, sdSeeds = null, sdCases = null } = row.scores[name] ?? {};
        return [mean, sdSeeds, sdCases, row.paper?.scores[name] ?? null];
      }),
      ...[test?.against ?? null, test?.difference ?? null, test?.better ?? null, test?.worse ?? null],
      ...[test?.p ?? null, row.parameters, row.seconds],
    ];
  });
  return csvText([header, ...lines]);
}

/** Paths of the grid's points, in its order. */
export function pathsOf(rows: readonly SweepRow[]): string[] {
  return [...new Set(rows.flatMap(({ point }) => Object.keys(point)))];
}

function spreadText(spread: Spread | null, digits: number): string {
  if (spread === null) return "-";
  const sd = spread.sdSeeds ?? spread.sdCases;
  return `${spread.mean.toFixed(digits)}${sd === null ? "" : ` ± ${sd.toFixed(digits)}`}`;
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(3)}`;
}

/** `9.45 M`, `590 k`. */
function countText(count: number): string {
  return count >= 1e6 ? `${(count / 1e6).toPrecision(3)} M` : `${(count / 1e3).toPrecision(3)} k`;
}
