import { readFileSync } from "node:fs";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { type CsvRow, csvText } from "../io/csv.js";
import type { Counts } from "./evidence.js";
import {
  isDistance,
  type MetricName,
  metricNames,
  missingClassRule,
  scoresByRule,
  tableMetrics,
} from "./index.js";
import type { ClassScores } from "./scores.js";
import { bootstrapInterval, type Interval, mean, sampleSd } from "./statistics.js";

/** Unit of surface distances. Voxels where a case has no known spacing. */
export type DistanceUnit = "mm" | "voxel";

/** Scores of one case. */
export interface CaseScores {
  readonly id: string;
  readonly referenceFile?: string;
  readonly predictionFile?: string;
  readonly unit: DistanceUnit;
  readonly classes: readonly ClassScores[];
}

const countNames = ["TP", "FP", "FN", "TN", "n_pred", "n_ref"] as const;
const valueNames = [...metricNames, ...countNames];

/** Name of a column of `summary.csv`. IoU and Jaccard are the same number under both names. */
export type ValueName = (typeof valueNames)[number];

/** Metrics and voxel counts under the names of nnU-Net's summary.json. */
export type MetricValues = Readonly<Record<ValueName, number | null>>;

/** Values by label id, as text because JSON keys are. */
export type ByLabel = Readonly<Record<string, MetricValues>>;

/** One case in `summary.json`. */
export interface CaseMetrics {
  readonly id: string;
  readonly reference_file: string | null;
  readonly prediction_file: string | null;
  readonly distance_unit: DistanceUnit;
  readonly metrics: ByLabel;
}

/** What is said about the scores of all cases. */
export interface Statistics {
  /** Mean over the classes' means (background is never scored). */
  readonly foreground_mean: MetricValues;
  /** Sample standard deviation over cases of the case's mean over classes. */
  readonly foreground_sd: MetricValues;
  /** 95 % bootstrap interval of the mean over cases of the case's mean over classes; null for fewer than two values. */
  readonly foreground_ci95: Intervals;
  /** Mean over cases, per class. */
  readonly mean: ByLabel;
  /** Sample standard deviation over cases, per class; null for fewer than two values. */
  readonly sd: ByLabel;
  /** 95 % bootstrap interval of the mean, per class; null for fewer than two values. */
  readonly ci95: Readonly<Record<string, Intervals>>;
  /** Number of cases that went into a mean, per class. */
  readonly n_valid: ByLabel;
}

/** Interval by metric. */
export type Intervals = Readonly<Record<MetricName, Interval | null>>;

/** Content of `summary.json`: nnU-Net's shape, and beside it standard deviations, intervals, counts and units. */
export interface Summary extends Statistics {
  /** `mixed` when cases have different units: distances then have no mean. */
  readonly distance_unit: DistanceUnit | "mixed";
  /** Distance up to which NSD counts surfaces as equal, in the distance unit; null where it was not computed here. */
  readonly nsd_tolerance: number | null;
  readonly units: Readonly<Record<string, string>>;
  readonly rule: string;
  /** The same under the rule of the SFR authors' scripts, where that was asked for. */
  readonly paper?: Statistics & { readonly rule: string };
  readonly metric_per_case: readonly CaseMetrics[];
}

/** What belongs beside scores that not all cases have (see `partialCounts`). */
export const validCountNote =
  "n: cases that have the score, where not all do. The authors' scripts count 0 in all scores where the prediction " +
  "lacks the class, and 0 is the best distance.";

/** How the SFR authors' scripts score a class that the prediction lacks. */
const paperRule =
  "A class that the prediction lacks counts 0 in all scores, as in the SFR authors' scripts; 0 is the best distance.";

export interface SummaryOptions {
  /** The tolerance of the cases' NSD. */
  readonly tolerance?: number;
  /** Adds statistics under `paperRule`. */
  readonly paper?: boolean;
}

/** Puts scores of cases together; the rule for absent classes is applied here, whatever the scores say. */
export function summarize(cases: readonly CaseScores[], { tolerance, paper }: SummaryOptions = {}): Summary {
  const perCase = cases.map(
    (scores): CaseMetrics => ({
      id: scores.id,
      reference_file: scores.referenceFile ?? null,
      prediction_file: scores.predictionFile ?? null,
      distance_unit: scores.unit,
      metrics: Object.fromEntries(scores.classes.map((item) => [String(item.label), toValues(item)])),
    }),
  );
  const units = new Set(perCase.map((item) => item.distance_unit));
  const unit = units.size > 1 ? "mixed" : ([...units][0] ?? "voxel");
  return {
    ...statisticsOf(
      perCase.map(({ metrics }) => metrics),
      unit,
    ),
    distance_unit: unit,
    nsd_tolerance: tolerance ?? null,
    units: {
      ...Object.fromEntries(metricNames.map((name) => [name, isDistance(name) ? unit : "1"])),
      counts: "voxel",
    },
    rule:
      `${missingClassRule} What is left out is null; sd is the sample standard deviation over cases, ci95 a bootstrap ` +
      "interval of the mean, n_valid the number of values in a mean.",
    ...(paper === true && {
      paper: {
        ...statisticsOf(
          perCase.map(({ metrics }) => byPaper(metrics)),
          unit,
        ),
        rule: paperRule,
      },
    }),
    metric_per_case: perCase,
  };
}

function byPaper(metrics: ByLabel): ByLabel {
  return Object.fromEntries(
    Object.entries(metrics).map(([label, values]) => {
      const zeros = Object.fromEntries(metricNames.map((name) => [name, 0]));
      return [label, values.n_pred === 0 ? { ...values, ...zeros } : values];
    }),
  );
}

function statisticsOf(cases: readonly ByLabel[], unit: Summary["distance_unit"]): Statistics {
  const labels = [...new Set(cases.flatMap((metrics) => Object.keys(metrics)))].sort((a, b) => +a - +b);
  // Millimetres and voxels have no common mean.
  const sound = (name: ValueName, values: readonly number[]) =>
    unit !== "mixed" || !isDistance(name) ? values : [];
  const ofLabel = (label: string, name: ValueName) =>
    sound(name, valid(cases.map((metrics) => metrics[label]?.[name])));
  const byLabel = <T>(of: (label: string) => T) =>
    Object.fromEntries(labels.map((label) => [label, of(label)]));
  const means = byLabel((label) => eachValue((name) => mean(ofLabel(label, name))));
  const ofCases = (name: ValueName) =>
    sound(
      name,
      valid(cases.map((metrics) => mean(valid(Object.values(metrics).map((values) => values[name]))))),
    );
  return {
    foreground_mean: eachValue((name) => mean(valid(Object.values(means).map((values) => values[name])))),
    foreground_sd: eachValue((name) => sampleSd(ofCases(name))),
    foreground_ci95: intervals(ofCases),
    mean: means,
    sd: byLabel((label) => eachValue((name) => sampleSd(ofLabel(label, name)))),
    ci95: byLabel((label) => intervals((name) => ofLabel(label, name))),
    n_valid: byLabel((label) =>
      eachValue((name) => valid(cases.map((metrics) => metrics[label]?.[name])).length),
    ),
  };
}

function intervals(valuesOf: (name: MetricName) => readonly number[]): Intervals {
  return Object.fromEntries(metricNames.map((name) => [name, bootstrapInterval(valuesOf(name))])) as Record<
    MetricName,
    Interval | null
  >;
}

/** How many cases have a score of a class, for the metrics of tables that not all of them have. */
export function partialCounts(summary: Summary, label: string): Partial<Record<MetricName, number>> {
  const counts = tableMetrics.map(({ name }) => [name, summary.n_valid[label]?.[name] ?? 0] as const);
  return Object.fromEntries(counts.filter(([, count]) => count < summary.metric_per_case.length));
}

/** Whether every case has every score of every class that tables show. */
export function hasAllScores(summary: Summary): boolean {
  const labels = Object.keys(summary.n_valid);
  return labels.every((label) => Object.keys(partialCounts(summary, label)).length === 0);
}

/** Writes `summary.json` (atomic). */
export async function writeSummary(path: string, summary: Summary): Promise<void> {
  await writeFileAtomic(path, Buffer.from(`${JSON.stringify(summary, null, 2)}\n`));
}

/** Writes the table of `summaryCsv` (atomic). */
export async function writeSummaryCsv(path: string, summary: Summary): Promise<void> {
  await writeFileAtomic(path, Buffer.from(summaryCsv(summary)));
}

/**
 * Reads a `summary.json` of this package or of nnU-Net. Bare NaN and Infinity, which Python writes, become null; what
 * nnU-Net's file lacks is computed from its cases, with distances null.
 *
 * @throws DataError when the file cannot be read or has no list `metric_per_case`
 */
export function readSummary(path: string): Summary {
  let content: unknown;
  try {
    content = JSON.parse(replaceBareNumbers(readFileSync(path, "utf8")));
  } catch (error) {
    const received = error instanceof Error ? error.message : String(error);
    throw new DataError(`summary: expected JSON in ${path}, received ${received}; check the file`, {
      cause: error,
    });
  }
  const list = isRecord(content) ? content.metric_per_case : undefined;
  if (!Array.isArray(list) || !list.every(isRecord)) {
    throw new DataError(
      `summary: expected a list metric_per_case in ${path}, received none; name a summary.json of this program or nnU-Net`,
    );
  }
  const tolerance = isRecord(content) ? content.nsd_tolerance : undefined;
  return summarize(
    list.map((item, index) => fromFile(item, index)),
    typeof tolerance === "number" ? { tolerance } : {},
  );
}

/**
 * The scores as CSV (RFC 4180): one row per case and class, then mean, sample standard deviation and number of values
 * per class and over the foreground. Empty fields have no value. Distances are in the row's `distance_unit`.
 */
export function summaryCsv(summary: Summary): string {
  const rows: CsvRow[] = [["row", "case", "class", "distance_unit", ...valueNames]];
  for (const item of summary.metric_per_case) {
    for (const [label, values] of Object.entries(item.metrics)) {
      rows.push(["case", item.id, label, item.distance_unit, ...valueNames.map((name) => values[name])]);
    }
  }
  const statistics = (of: Statistics, prefix: string) => {
    const add = (row: string, label: string | null, values: MetricValues | undefined) =>
      rows.push([
        prefix + row,
        null,
        label,
        summary.distance_unit,
        ...valueNames.map((name) => values?.[name] ?? null),
      ]);
    for (const row of ["mean", "sd", "n_valid"] as const) {
      for (const [label, values] of Object.entries(of[row])) add(row, label, values);
    }
    for (const row of ["foreground_mean", "foreground_sd"] as const) add(row, null, of[row]);
  };
  statistics(summary, "");
  if (summary.paper !== undefined) statistics(summary.paper, "paper_");
  return csvText(rows);
}

function toValues({ counts, metrics }: ClassScores): MetricValues {
  const { tp: TP, fp: FP, fn: FN, tn: TN, nPred: n_pred, nRef: n_ref } = counts;
  return { ...scoresByRule(counts, (name) => finite(metrics[name])), TP, FP, FN, TN, n_pred, n_ref };
}

function fromFile(item: Record<string, unknown>, index: number): CaseScores {
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  const referenceFile = text(item.reference_file);
  const predictionFile = text(item.prediction_file);
  const classes = Object.entries(isRecord(item.metrics) ? item.metrics : {}).flatMap(([label, values]) =>
    isRecord(values) && Number.isFinite(Number(label)) ? [scoresFromFile(Number(label), values)] : [],
  );
  return {
    id:
      text(item.id) ??
      predictionFile?.replace(/^.*\//, "").replace(/\.nii(\.gz)?$/, "") ??
      `case ${index + 1}`,
    ...(referenceFile === undefined ? {} : { referenceFile }),
    ...(predictionFile === undefined ? {} : { predictionFile }),
    unit: item.distance_unit === "mm" ? "mm" : "voxel",
    classes,
  };
}

function scoresFromFile(label: number, values: Record<string, unknown>): ClassScores {
  const number = (name: string) => (typeof values[name] === "number" ? values[name] : null);
  const count = (name: string) => number(name) ?? 0;
  const [tp, fp, fn, tn] = [count("TP"), count("FP"), count("FN"), count("TN")];
  const counts: Counts = {
    ...{ tp, fp, fn, tn },
    nPred: number("n_pred") ?? tp + fp,
    nRef: number("n_ref") ?? tp + fn,
  };
  // nnU-Net's files have IoU and no Jaccard.
  const metrics = scoresByRule(counts, (name) => number(name) ?? (name === "Jaccard" ? number("IoU") : null));
  return { label, counts, metrics };
}

function eachValue(value: (name: ValueName) => number | null): MetricValues {
  return Object.fromEntries(valueNames.map((name) => [name, value(name)])) as Record<
    ValueName,
    number | null
  >;
}

function valid(values: readonly (number | null | undefined)[]): number[] {
  return values.filter((value) => value !== null && value !== undefined);
}

function finite(value: number | null): number | null {
  return value !== null && Number.isFinite(value) ? value : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Python's json module writes NaN and Infinity as bare words, which JSON does not have; texts stay as they are. */
function replaceBareNumbers(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/gs, (token) =>
    token.startsWith('"') ? token : "null",
  );
}
