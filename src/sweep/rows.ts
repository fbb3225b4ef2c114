import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { openSafetensors } from "../io/safetensors.js";
import { compareSummaries } from "../metrics/compare.js";
import { type MetricName, metricNames, tableMetrics } from "../metrics/index.js";
import { mean, sampleSd } from "../metrics/statistics.js";
import { type CaseMetrics, type MetricValues, readSummary, type Summary } from "../metrics/summary.js";
import { runPaths } from "../run/stage.js";
import type { Grid } from "./grid.js";
import { asWord, type Job } from "./jobs.js";
import { type PaperFigure, type PaperMetric, type PseudoLabelKind, paperFigure, paperName } from "./paper.js";
import { isFinished, jobPath } from "./run-jobs.js";

/** Mean of a metric, and how it spreads. */
export interface Spread {
  /** Over seeds, of the mean over cases. */
  readonly mean: number;
  /** Sample standard deviation over seeds of that mean; null for one seed. */
  readonly sdSeeds: number | null;
  /** Sample standard deviation over cases, each the mean over its seeds; null for one case. */
  readonly sdCases: number | null;
}

/** How a row's Dice differs from that of the row it builds on, over cases, each the mean over the common seeds. */
export interface PairedTest {
  /** Name of the other row. */
  readonly against: string;
  readonly seeds: number;
  readonly difference: number;
  readonly better: number;
  readonly worse: number;
  /** Two-sided p of Wilcoxon's signed-rank test; null when no case differs. */
  readonly p: number | null;
}

/** A line of the comparison: a method at one point of the grid, over all its seeds that are finished. */
export interface SweepRow {
  readonly name: string;
  /** Absent in rows of other programs. */
  readonly method?: Job["arm"]["method"];
  readonly kind?: PseudoLabelKind;
  /** As `Job.line`. */
  readonly line?: string;
  readonly point: Readonly<Record<string, unknown>>;
  readonly seeds: readonly number[];
  readonly cases: number;
  readonly unit: Summary["distance_unit"];
  readonly scores: Readonly<Record<PaperMetric, Spread | null>>;
  /** Of the network that is kept; null where it is not known. */
  readonly parameters: number | null;
  /** Of all stages that a run needs, mean over seeds; null where it is not known. */
  readonly seconds: number | null;
  readonly test: PairedTest | null;
  readonly paper: PaperFigure | undefined;
}

/** Scores of one row, before they are compared. */
interface Scored extends Omit<SweepRow, "test"> {
  readonly summaries: ReadonlyMap<number, Summary>;
}

const runSummarySchema = z.object({ arms: z.record(z.string(), z.object({ wall_seconds: z.number() })) });

/** Scores that another program's predictions got. */
export interface ImportedScores {
  readonly item: Grid["imports"][number];
  readonly summary: Summary;
}

/** The rows of a sweep's comparison, in the order of the grid; jobs that are not finished are left out. */
export async function sweepRows(
  grid: Grid,
  jobs: readonly Job[],
  imports: readonly ImportedScores[],
  out: string,
): Promise<SweepRow[]> {
  const groups = new Map<string, Job[]>();
  // A run without labelled test cases has no scores.
  for (const job of jobs.filter((one) => isFinished(out, one) && existsSync(scoresPath(out, one)))) {
    const key = JSON.stringify([job.point, job.arm.name]);
    groups.set(key, [...(groups.get(key) ?? []), job]);
  }
  const scored: Scored[] = [];
  for (const group of groups.values()) scored.push(await scoredRow(grid, group, out));
  for (const { item, summary } of imports) scored.push(importedRow(grid, item, summary));
  return scored.map((row): SweepRow => {
    const { summaries: _, ...rest } = row;
    return { ...rest, test: testOf(row, scored) };
  });
}

const scoresPath = (out: string, job: Job): string =>
  join(jobPath(out, job), runPaths.arm(job.arm), "summary.json");

async function scoredRow(grid: Grid, group: readonly Job[], out: string): Promise<Scored> {
  const [first] = group;
  if (first === undefined) throw new RangeError("sweep: expected a job in a row, received none");
  const summaries = new Map<number, Summary>();
  const seconds: number[] = [];
  for (const job of group) {
    const path = jobPath(out, job);
    summaries.set(job.config.seed, readSummary(scoresPath(out, job)));
    const { arms } = runSummarySchema.parse(JSON.parse(await readFile(join(path, "summary.json"), "utf8")));
    const { wall_seconds } = arms[job.arm.name] ?? {};
    if (wall_seconds !== undefined) seconds.push(wall_seconds);
  }
  const { arm, kind, line, point, config } = first;
  const { labelled } = config.data;
  const name = paperName(arm.method, kind);
  const weights =
    arm.method === "sam"
      ? join(runPaths.finetune, "sam.safetensors")
      : join(runPaths.arm(arm), "segmenter.safetensors");
  return {
    ...{ name: arm.name, method: arm.method, kind, line, point, summaries },
    ...spreadsOf([...summaries.values()]),
    seeds: [...summaries.keys()],
    parameters: await parametersOf(join(jobPath(out, first), weights)),
    seconds: mean(seconds),
    paper:
      grid.paper === undefined || name === undefined
        ? undefined
        : paperFigure(grid.paper, name, typeof labelled === "number" ? labelled : labelled.length),
  };
}

function importedRow(grid: Grid, item: ImportedScores["item"], summary: Summary): Scored {
  const { name, at, paper, parameters } = item;
  return {
    ...{ name, point: at, summaries: new Map([[0, summary]]), seeds: [], seconds: null },
    ...spreadsOf([summary]),
    parameters: parameters ?? null,
    paper:
      grid.paper === undefined || paper === undefined ? undefined : paperFigure(grid.paper, paper, undefined),
  };
}

function spreadsOf(summaries: readonly Summary[]): Pick<SweepRow, "scores" | "cases" | "unit"> {
  const units = new Set(summaries.map(({ distance_unit }) => distance_unit));
  const averaged = averageOfSeeds(summaries);
  const spread = (metric: MetricName): Spread | null => {
    const means = summaries.flatMap(({ foreground_mean }) => foreground_mean[metric] ?? []);
    const center = mean(means);
    if (center === null) return null;
    const perCase = averaged.flatMap(({ metrics }) => meanOverClasses(metrics, metric) ?? []);
    return { mean: center, sdSeeds: sampleSd(means), sdCases: sampleSd(perCase) };
  };
  const [unit = "voxel"] = units;
  return {
    scores: Object.fromEntries(tableMetrics.map(({ name }) => [name, spread(name)])) as SweepRow["scores"],
    cases: averaged.length,
    unit: units.size > 1 ? "mixed" : unit,
  };
}

function meanOverClasses(metrics: CaseMetrics["metrics"], metric: MetricName): number | null {
  return mean(Object.values(metrics).flatMap((values) => values[metric] ?? []));
}

/** Each case with the means of its scores over seeds. */
function averageOfSeeds(summaries: readonly Summary[]): CaseMetrics[] {
  const all = summaries.flatMap(({ metric_per_case }) => metric_per_case);
  return [...new Set(all.map(({ id }) => id))].flatMap((id) => {
    const same = all.filter((item) => item.id === id);
    const [first] = same;
    if (first === undefined) return [];
    const labels = [...new Set(same.flatMap(({ metrics }) => Object.keys(metrics)))];
    const averaged = (label: string) =>
      Object.fromEntries(
        metricNames.map((metric) => [
          metric,
          mean(same.flatMap(({ metrics }) => metrics[label]?.[metric] ?? [])),
        ]),
      ) as MetricValues;
    return [{ ...first, metrics: Object.fromEntries(labels.map((label) => [label, averaged(label)])) }];
  });
}

/** The paired test against the row that one builds on, if both are there and have cases and seeds in common. */
function testOf(row: Scored, rows: readonly Scored[]): PairedTest | null {
  const other = baselineOf(row, rows);
  if (other === undefined) return null;
  const isImport = row.method === undefined;
  const seeds = isImport ? other.seeds : row.seeds.filter((seed) => other.summaries.has(seed));
  const of = ({ summaries }: Scored) =>
    [...summaries].filter(([seed]) => seeds.includes(seed)).map(([, one]) => one);
  const [before, now] = [of(other), isImport ? [...row.summaries.values()] : of(row)].map(averageOfSeeds);
  if (before === undefined || now === undefined) return null;
  if (!now.some(({ id }) => before.some((item) => item.id === id))) return null;
  const [dice] = compareSummaries({ metric_per_case: before }, { metric_per_case: now }, ["Dice"]);
  if (dice === undefined) return null;
  const { difference, better, worse, p } = dice;
  return { against: other.name, seeds: seeds.length, difference, better, worse, p };
}

/** SFR+ builds on SFR, that on the method alone, and everything else on the labelled cases alone. */
function baselineOf(row: Scored, rows: readonly Scored[]): Scored | undefined {
  const point = pointText(row.point);
  const there = rows.filter((one) => one !== row && pointText(one.point) === point);
  const sameMethod = (kind: PseudoLabelKind) => {
    const ofKind = there.filter((one) => one.method === row.method && one.kind === kind);
    return row.method === undefined ? undefined : (ofKind.find(({ line }) => line === row.line) ?? ofKind[0]);
  };
  const labelledOnly = there.find((one) => one.method === "labelled-only");
  if (row.method === "labelled-only") return undefined;
  if (row.kind === "exchange") return sameMethod("sam");
  return (row.kind === "sam" && row.method !== "sam" ? sameMethod("none") : undefined) ?? labelledOnly;
}

/** A point of the grid in words, equal for equal points: `data.labelled 16`. */
export function pointText(point: SweepRow["point"]): string {
  return Object.entries(point)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name} ${asWord(value)}`)
    .join(", ");
}

/** Values in a file of weights without statistics of batch-norm; null when it cannot be read. */
async function parametersOf(path: string): Promise<number | null> {
  try {
    await using file = await openSafetensors(path);
    return [...file.tensors]
      .filter(([name]) => !/running_(mean|var)$|num_batches_tracked$/.test(name))
      .reduce((sum, [, { shape }]) => sum + shape.reduce((product, extent) => product * extent, 1), 0);
  } catch {
    return null;
  }
}
