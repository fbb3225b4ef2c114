import { stringify } from "yaml";
import { type DotChartSpec, dotFigure } from "../viewer/dot-chart.js";
import { escapeHtml } from "../viewer/html.js";
import { htmlPage, scrollTable, section } from "../viewer/page.js";
import { type ChartSeries, type ChartSpec, chartFigure } from "../viewer/svg-chart.js";
import type { Grid } from "./grid.js";
import { pointText, type SweepRow } from "./rows.js";
import { cells, pathsOf, tableNotes } from "./table.js";

/** The comparison as one HTML page that loads nothing: plots of Dice, the table, the grid. */
export function sweepPage(
  grid: Grid,
  rows: readonly SweepRow[],
  jobs: { done: number; all: number },
): string {
  const { head, lines } = cells(rows);
  const header = `<tr>${head.map((text, i) => `<th${i === 0 ? ' class="first"' : ""}>${escapeHtml(text)}</th>`).join("")}</tr>`;
  const body = lines.map(([name = "", ...others]) => {
    const values = others.map((text) => `<td>${escapeHtml(text)}</td>`).join("");
    return `<tr><th class="first" scope="row">${escapeHtml(name)}</th>${values}</tr>`;
  });
  return htmlPage(grid.name, [
    `<p>${jobs.done} of ${jobs.all} jobs are done.</p>`,
    ...section("Dice", [`<div class="charts">${charts(rows).join("\n")}</div>`]),
    ...section("Comparison", [
      scrollTable(header, body),
      `<p class="note">${escapeHtml(tableNotes(rows).join(" "))}</p>`,
    ]),
    ...section("Grid", [`<pre>${escapeHtml(stringify(grid))}</pre>`]),
  ]);
}

/** Over each path with several numbers a line chart, ours beside the paper's; without one, dots per point. */
function charts(rows: readonly SweepRow[]): string[] {
  const numeric = pathsOf(rows).filter((path) => {
    const values = new Set(rows.flatMap(({ point }) => (path in point ? [point[path]] : [])));
    return values.size > 1 && [...values].every((value) => typeof value === "number");
  });
  if (numeric.length > 0) return numeric.flatMap((path) => overPath(rows, path)).map(chartFigure);
  return [...new Set(rows.map(({ point }) => pointText(point)))].map((point) =>
    dotFigure(
      dotsAt(
        rows.filter((row) => pointText(row.point) === point),
        point,
      ),
    ),
  );
}

function overPath(rows: readonly SweepRow[], path: string): ChartSpec[] {
  const series = (value: (row: SweepRow) => number | null | undefined): ChartSeries[] => {
    const groups = new Map<string, { x: number; y: number }[]>();
    for (const row of rows) {
      const { [path]: at, ...others } = row.point;
      const y = value(row);
      if (typeof at !== "number" || y === null || y === undefined) continue;
      const name = [row.name, pointText(others)].filter((part) => part !== "").join(", ");
      groups.set(name, [...(groups.get(name) ?? []), { x: at, y }]);
    }
    return [...groups].map(([name, points]) => {
      const rising = points.sort((a, b) => a.x - b.x);
      return { name, x: rising.map(({ x }) => x), y: rising.map(({ y }) => y) };
    });
  };
  const axes = { xLabel: path, yLabel: "Dice" };
  const ours = { ...axes, title: `Dice over ${path}`, series: series(({ scores }) => scores.Dice?.mean) };
  const paper = { ...axes, title: "The paper's", series: series((row) => row.paper?.scores.Dice) };
  return paper.series.length > 0 ? [ours, paper] : [ours];
}

const kinds = ["none", "sam", "exchange"] as const;

/** A line per method with its three kinds of pseudo-labels; rings are the paper's. */
function dotsAt(rows: readonly SweepRow[], point: string): DotChartSpec {
  const lines = new Map<string, SweepRow[]>();
  for (const row of rows) {
    const name = row.method ?? row.name;
    lines.set(name, [...(lines.get(name) ?? []), row]);
  }
  const hasPaper = rows.some(({ paper }) => paper !== undefined);
  return {
    title: point === "" ? "Dice" : `Dice, ${point}`,
    xLabel: `mean Dice; whiskers: one standard deviation${hasPaper ? "; rings: the paper's" : ""}`,
    series: ["alone", "with SFR", "with SFR+"],
    lines: [...lines].map(([name, same]) => ({
      name,
      dots: same.flatMap(({ kind, scores, paper }) => {
        const series = kind === undefined ? 0 : kinds.indexOf(kind);
        const { Dice } = scores;
        const own = Dice === null ? [] : [{ series, value: Dice.mean, spread: Dice.sdSeeds ?? Dice.sdCases }];
        const theirs = paper?.scores.Dice ?? null;
        return [
          ...own,
          ...(theirs === null ? [] : [{ series, value: theirs, spread: null, isHollow: true }]),
        ];
      }),
    })),
  };
}
