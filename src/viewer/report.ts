import { stringify } from "yaml";
import { writeFileAtomic } from "../io/atomic-file.js";
import { formatDuration } from "../io/progress.js";
import type { JsonValue } from "../io/stage-key.js";
import { isDistance, missingClassRule, tableMetrics } from "../metrics/index.js";
import {
  hasAllScores,
  type MetricValues,
  partialCounts,
  type Summary,
  type ValueName,
  validCountNote,
} from "../metrics/summary.js";
import type { CurveGroup } from "./curves.js";
import { escapeHtml } from "./html.js";
import {
  className,
  htmlPage,
  type LabelNames,
  labelKey,
  type PictureGroup,
  pictureGroup,
  scrollTable,
  section,
} from "./page.js";
import { chartFigure } from "./svg-chart.js";

/** One trained segmenter of the run, under the name it is shown by. */
export interface ArmReport {
  readonly name: string;
  readonly summary: Summary;
  /** Time of all its stages, in seconds. */
  readonly wallSeconds: number;
}

/** Everything a report shows. Texts are plain; they are escaped here. */
export interface ReportData {
  readonly title: string;
  /** What this run is, in a paragraph. */
  readonly about: string;
  readonly arms: readonly ArmReport[];
  /** Class names by label id. */
  readonly labelNames?: LabelNames;
  readonly curves: readonly CurveGroup[];
  readonly pictures: readonly PictureGroup[];
  /** The resolved configuration. */
  readonly config: JsonValue;
  /** Versions, device, seed and what else is worth knowing, in the order shown. */
  readonly facts: Readonly<Record<string, string>>;
}

/**
 * Writes the report as one HTML file that needs nothing else: style, charts (SVG) and pictures (PNG) are inside, there
 * is no script, and a content security policy forbids every request.
 *
 * @throws DataError when the file cannot be written
 */
export async function writeReport(path: string, data: ReportData): Promise<void> {
  await writeFileAtomic(path, Buffer.from(reportHtml(data)));
}

/** The text of the report (see writeReport). */
export function reportHtml(data: ReportData): string {
  const labels = labelsOf(data.arms);
  const sections = [
    armsSection(data, labels),
    casesSection(data, labels),
    ...section("Training curves", data.curves.map(curveGroup)),
    ...section(
      "Pictures",
      data.pictures.length > 0 ? [labelKey(labels, data.labelNames), ...data.pictures.map(pictureGroup)] : [],
    ),
    ...section("Configuration", [
      `<details><summary>Resolved configuration</summary><pre>${escapeHtml(stringify(data.config))}</pre></details>`,
    ]),
    ...section("Versions and machine", [factsTable(data.facts)]),
  ];
  return htmlPage(data.title, [`<p>${escapeHtml(data.about)}</p>`, ...sections]);
}

function armsSection(data: ReportData, labels: readonly string[]): string {
  const header = tableMetrics.map(({ name }) => `<th>${name}${unitOf(name, data.arms)}</th>`).join("");
  const best = bestOf(data.arms.map((arm) => arm.summary.foreground_mean));
  const rows = data.arms.flatMap(({ name, summary, wallSeconds }) => {
    const time = `<td class="from">${formatDuration(wallSeconds)}</td>`;
    const [only = ""] = labels;
    const counts = labels.length === 1 ? partialCounts(summary, only) : {};
    const scores = scoreCells(summary.foreground_mean, summary.foreground_sd, counts, best);
    const row = `<tr><th class="first" scope="row">${escapeHtml(name)}</th>${scores}${time}</tr>`;
    const classes = labels.map((label) => {
      const cells = scoreCells(summary.mean[label], summary.sd[label], partialCounts(summary, label));
      const title = escapeHtml(className(label, data.labelNames));
      return `<tr class="class"><th class="first" scope="row">${title}</th>${cells}<td class="from"></td></tr>`;
    });
    return [row, ...(labels.length > 1 ? classes : [])];
  });
  const cases = Math.max(0, ...data.arms.map((arm) => arm.summary.metric_per_case.length));
  return section("Scores", [
    scrollTable(`<tr><th class="first">Arm</th>${header}<th class="from">Wall time</th></tr>`, rows),
    `<p class="note">Mean ± sample standard deviation over ${cases} ${cases === 1 ? "case" : "cases"}` +
      `${labels.length > 1 ? "; the first row of an arm is the mean over its classes" : ""}. Dice and Jaccard: 0 to 1, ` +
      `more is better; HD95 and ASD: ${distanceNote(data.arms)}, less is better. ${missingClassRule}` +
      `${data.arms.every((arm) => hasAllScores(arm.summary)) ? "" : ` ${validCountNote}`} Best means in bold.</p>`,
  ]).join("");
}

function casesSection(data: ReportData, labels: readonly string[]): string {
  const ids = [...new Set(data.arms.flatMap((arm) => arm.summary.metric_per_case.map((item) => item.id)))];
  const hasClasses = labels.length > 1;
  const classHeader = hasClasses ? '<th class="text" rowspan="2">Class</th>' : "";
  const top = data.arms
    .map((arm) => `<th colspan="${tableMetrics.length}">${escapeHtml(arm.name)}</th>`)
    .join("");
  const names = tableMetrics.map(({ name }, i) => `<th${i === 0 ? ' class="from"' : ""}>${name}</th>`);
  const header =
    `<tr><th class="first" rowspan="2">Case</th>${classHeader}${top}</tr>` +
    `<tr>${data.arms.map(() => names.join("")).join("")}</tr>`;
  const rows = ids.flatMap((id) =>
    labels.map((label, row) => {
      const values = data.arms.map(
        (arm) => arm.summary.metric_per_case.find((item) => item.id === id)?.metrics[label],
      );
      const best = bestOf(values);
      const cells = values.map((value) =>
        tableMetrics
          .map(({ name }, i) => {
            const from = i === 0 ? "from" : "";
            return `<td class="${from}${isBest(value, name, best) ? " best" : ""}">${number(value?.[name], name)}</td>`;
          })
          .join(""),
      );
      const classCell = hasClasses
        ? `<td class="text">${escapeHtml(className(label, data.labelNames))}</td>`
        : "";
      const caseCell = `<th class="first" scope="rowgroup" rowspan="${labels.length}">${escapeHtml(id)}</th>`;
      return `<tr>${row === 0 ? caseCell : ""}${classCell}${cells.join("")}</tr>`;
    }),
  );
  const note = `<p class="note">HD95 and ASD in ${distanceNote(data.arms)}.</p>`;
  return section("Scores per case", rows.length === 0 ? [] : [scrollTable(header, rows), note]).join("");
}

type Best = Partial<Record<ValueName, number>>;

function scoreCells(
  mean: MetricValues | undefined,
  sd: MetricValues | undefined,
  counts: ReturnType<typeof partialCounts>,
  best: Best = {},
): string {
  return tableMetrics
    .map(({ name }) => {
      const spread = sd?.[name] ?? null;
      const count = counts[name] === undefined ? "" : ` (n=${counts[name]})`;
      const text = `${spread === null ? "" : ` ± ${number(spread, name)}`}${count}`;
      const tail = text === "" ? "" : `<span class="sd">${text}</span>`;
      const value = number(mean?.[name], name);
      return `<td>${isBest(mean, name, best) ? `<span class="best">${value}</span>` : value}${tail}</td>`;
    })
    .join("");
}

/** Best value of each metric; none where there is nothing to compare. */
function bestOf(values: readonly (MetricValues | undefined)[]): Best {
  const best: Best = {};
  for (const { name } of tableMetrics) {
    const numbers = values.map((value) => value?.[name]).filter((value) => typeof value === "number");
    if (new Set(numbers).size > 1) {
      best[name] = isDistance(name) ? Math.min(...numbers) : Math.max(...numbers);
    }
  }
  return best;
}

function isBest(values: MetricValues | undefined, name: ValueName, best: Best): boolean {
  return best[name] !== undefined && values?.[name] === best[name];
}

function number(value: number | null | undefined, name: ValueName): string {
  const digits = tableMetrics.find((column) => column.name === name)?.digits ?? 3;
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function curveGroup(group: CurveGroup): string {
  const charts = group.charts.map(chartFigure).join("\n");
  return `<h3>${escapeHtml(group.title)}</h3><div class="charts">${charts}</div>`;
}

function factsTable(facts: ReportData["facts"]): string {
  const rows = Object.entries(facts).map(
    ([name, value]) =>
      `<tr><th class="first" scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`,
  );
  return `<table class="facts"><tbody>${rows.join("\n")}</tbody></table>`;
}

/** Label ids of all arms, rising. */
function labelsOf(arms: readonly ArmReport[]): string[] {
  const labels = arms.flatMap(({ summary }) =>
    summary.metric_per_case.flatMap((item) => Object.keys(item.metrics)),
  );
  return [...new Set(labels)].sort((a, b) => Number(a) - Number(b));
}

function unitOf(name: ValueName, arms: readonly ArmReport[]): string {
  return isDistance(name) ? ` (${distanceNote(arms)})` : "";
}

function distanceNote(arms: readonly ArmReport[]): string {
  const units = new Set(arms.map((arm) => arm.summary.distance_unit));
  const [unit = "voxel"] = units;
  return units.size > 1 || unit === "mixed" ? "mm or voxels, mixed" : unit === "voxel" ? "voxels" : unit;
}
