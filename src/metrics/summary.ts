import { readFileSync } from "node:fs";
import { writeFileAtomic } from "../data/atomic-file.js";
import { DataError } from "../errors.js";

/** Unit of surface distances. Voxels where a case has no known spacing. */
export type DistanceUnit = "mm" | "voxel";

/** Scores of one class in one case. Null where a metric is not defined. */
export interface ClassScores {
  /** Original label id. */
  readonly label: number;
  readonly dice: number | null;
  readonly jaccard: number | null;
  /** 95 % Hausdorff distance. */
  readonly hd95: number | null;
  /** Average surface distance. */
  readonly asd: number | null;
  /** Voxel counts: true and false positives and negatives, predicted and reference voxels. */
  readonly tp: number;
  readonly fp: number;
  readonly fn: number;
  readonly tn: number;
  readonly nPred: number;
  readonly nRef: number;
}

/** Scores of one case. */
export interface CaseScores {
  readonly id: string;
  readonly referenceFile?: string;
  readonly predictionFile?: string;
  readonly unit: DistanceUnit;
  readonly classes: readonly ClassScores[];
}

/** Metrics under the names of nnU-Net's summary.json. IoU and Jaccard are the same number under both names. */
export interface MetricValues {
  readonly Dice: number | null;
  readonly IoU: number | null;
  readonly Jaccard: number | null;
  readonly HD95: number | null;
  readonly ASD: number | null;
  readonly TP: number | null;
  readonly FP: number | null;
  readonly FN: number | null;
  readonly TN: number | null;
  readonly n_pred: number | null;
  readonly n_ref: number | null;
}

export type MetricName = keyof MetricValues;

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

/** Content of `summary.json`: nnU-Net's shape, and beside it standard deviations, counts and units. */
export interface Summary {
  /** Mean over the classes' means (background is never scored). */
  readonly foreground_mean: MetricValues;
  /** Sample standard deviation over cases of the case's mean over classes. */
  readonly foreground_sd: MetricValues;
  /** Mean over cases, per class. */
  readonly mean: ByLabel;
  /** Sample standard deviation over cases, per class; null for fewer than two values. */
  readonly sd: ByLabel;
  /** Number of cases that went into a mean, per class. */
  readonly n_valid: ByLabel;
  /** `mixed` when cases have different units: distances then have no mean. */
  readonly distance_unit: DistanceUnit | "mixed";
  readonly units: Readonly<Record<string, string>>;
  readonly rule: string;
  readonly metric_per_case: readonly CaseMetrics[];
}

const metricNames = "Dice IoU Jaccard HD95 ASD TP FP FN TN n_pred n_ref".split(" ") as MetricName[];

/** How a class that a case lacks is scored. */
export const missingClassRule =
  "A class that is in neither prediction nor reference is left out, one that is in only one of them has Dice and " +
  "Jaccard 0 and no distances.";

/** What belongs beside scores that not all cases have (see `partialCounts`). */
export const validCountNote =
  "n: cases that have the score, where not all do. The authors' scripts count 0 in all scores where the prediction " +
  "lacks the class, and 0 is the best distance.";

/** Puts scores of cases together; the rule for absent classes is applied here, whatever the scores say. */
export function summarize(cases: readonly CaseScores[]): Summary {
  const perCase = cases.map(
    (scores): CaseMetrics => ({
      id: scores.id,
      reference_file: scores.referenceFile ?? null,
      prediction_file: scores.predictionFile ?? null,
      distance_unit: scores.unit,
      metrics: Object.fromEntries(scores.classes.map((item) => [String(item.label), toMetrics(item)])),
    }),
  );
  const units = new Set(perCase.map((item) => item.distance_unit));
  const unit = units.size > 1 ? "mixed" : ([...units][0] ?? "voxel");
  const labels = [...new Set(cases.flatMap((item) => item.classes.map(({ label }) => label)))].sort(
    (a, b) => a - b,
  );
  const overCases = (statistic: (values: readonly number[]) => number | null): ByLabel =>
    Object.fromEntries(
      labels.map((label) => [
        String(label),
        eachMetric((name) => statistic(valid(perCase.map((item) => item.metrics[label]?.[name])))),
      ]),
    );
  // Millimetres and voxels have no common mean.
  const sound = (name: MetricName) => unit !== "mixed" || (name !== "HD95" && name !== "ASD");
  const blank = (byLabel: ByLabel): ByLabel =>
    Object.fromEntries(
      Object.entries(byLabel).map(([label, values]) => [
        label,
        eachMetric((name) => (sound(name) ? values[name] : null)),
      ]),
    );
  const means = blank(overCases(mean));
  const ofCase = (item: CaseMetrics, name: MetricName) =>
    mean(valid(Object.values(item.metrics).map((values) => values[name])));
  return {
    foreground_mean: eachMetric((name) => mean(valid(Object.values(means).map((values) => values[name])))),
    foreground_sd: eachMetric((name) =>
      sound(name) ? sampleSd(valid(perCase.map((item) => ofCase(item, name)))) : null,
    ),
    mean: means,
    sd: blank(overCases(sampleSd)),
    n_valid: overCases((values) => values.length),
    distance_unit: unit,
    units: { Dice: "1", IoU: "1", Jaccard: "1", HD95: unit, ASD: unit, counts: "voxel" },
    rule:
      `${missingClassRule} What is left out is null; sd is the sample standard deviation over cases, n_valid the ` +
      "number of values in a mean.",
    metric_per_case: perCase,
  };
}

/** How many cases have a score of a class, for the metrics that not all of them have. */
export function partialCounts(summary: Summary, label: string): Partial<Record<MetricName, number>> {
  const counts = Object.entries(summary.n_valid[label] ?? {});
  return Object.fromEntries(counts.filter(([, count]) => (count ?? 0) < summary.metric_per_case.length));
}

/** Whether every case has every score of every class. */
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
  return summarize(list.map((item, index) => fromFile(item, index)));
}

/**
 * The scores as CSV (RFC 4180): one row per case and class, then mean, sample standard deviation and number of values
 * per class and over the foreground. Empty fields have no value. Distances are in the row's `distance_unit`.
 */
export function summaryCsv(summary: Summary): string {
  const rows: (string | number | null)[][] = [["row", "case", "class", "distance_unit", ...metricNames]];
  for (const item of summary.metric_per_case) {
    for (const [label, values] of Object.entries(item.metrics)) {
      rows.push(["case", item.id, label, item.distance_unit, ...metricNames.map((name) => values[name])]);
    }
  }
  for (const row of ["mean", "sd", "n_valid"] as const) {
    for (const [label, values] of Object.entries(summary[row])) {
      rows.push([row, null, label, summary.distance_unit, ...metricNames.map((name) => values[name])]);
    }
  }
  for (const row of ["foreground_mean", "foreground_sd"] as const) {
    rows.push([row, null, null, summary.distance_unit, ...metricNames.map((name) => summary[row][name])]);
  }
  return rows.map((row) => `${row.map(csvField).join(",")}\r\n`).join("");
}

function toMetrics(scores: ClassScores): MetricValues {
  const { nPred, nRef } = scores;
  const isAbsent = nPred === 0 && nRef === 0;
  const isMissed = !isAbsent && (nPred === 0 || nRef === 0);
  const overlap = (value: number | null) => (isAbsent ? null : isMissed ? 0 : finite(value));
  const distance = (value: number | null) => (isAbsent || isMissed ? null : finite(value));
  return {
    Dice: overlap(scores.dice),
    IoU: overlap(scores.jaccard),
    Jaccard: overlap(scores.jaccard),
    HD95: distance(scores.hd95),
    ASD: distance(scores.asd),
    TP: scores.tp,
    FP: scores.fp,
    FN: scores.fn,
    TN: scores.tn,
    n_pred: nPred,
    n_ref: nRef,
  };
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
  return {
    label,
    dice: number("Dice"),
    jaccard: number("Jaccard") ?? number("IoU"),
    hd95: number("HD95"),
    asd: number("ASD"),
    tp: count("TP"),
    fp: count("FP"),
    fn: count("FN"),
    tn: count("TN"),
    nPred: number("n_pred") ?? count("TP") + count("FP"),
    nRef: number("n_ref") ?? count("TP") + count("FN"),
  };
}

function eachMetric(value: (name: MetricName) => number | null): MetricValues {
  return Object.fromEntries(metricNames.map((name) => [name, value(name)])) as unknown as MetricValues;
}

function valid(values: readonly (number | null | undefined)[]): number[] {
  return values.filter((value) => value !== null && value !== undefined);
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation with n - 1; null for fewer than two values. */
function sampleSd(values: readonly number[]): number | null {
  const center = mean(values);
  if (center === null || values.length < 2) {
    return null;
  }
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
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

function csvField(value: string | number | null): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
