import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Claims } from "../batch/claims.js";
import { messageOf } from "../error-text.js";
import { SfrError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { defaultTolerance } from "../metrics/index.js";
import { readSummary, type Summary, summarize, writeSummary } from "../metrics/summary.js";
import { scoreFolder } from "../run/score-folder.js";
import type { StageStore } from "../run/stage-store.js";
import type { Grid, GridImport } from "./grid.js";
import { asWord, type Job } from "./jobs.js";
import { sweepPage } from "./page.js";
import { type ImportedScores, type SweepRow, sweepRows } from "./rows.js";
import { isFinished, type JobsOptions, openStore, runJobs } from "./run-jobs.js";
import { sweepCsv, sweepMarkdown } from "./table.js";

/** What a sweep has given so far. */
export interface SweepResult {
  readonly rows: readonly SweepRow[];
  /** What went wrong, by job or import. */
  readonly failures: Readonly<Record<string, string>>;
  /** Number of jobs that other processes are at. */
  readonly elsewhere: number;
  /** Files of the comparison. */
  readonly written: readonly string[];
}

/** What a sweep needs besides its grid. */
export type SweepOptions = Omit<JobsOptions, "claims" | "store" | "onEnd">;

/**
 * Runs what is left of a sweep and writes `table.csv`, `table.md` and `report.html` of all that is finished, again after
 * each job.
 *
 * @throws CancelledError when stopped; DataError when the folder cannot be written
 */
export async function runSweep(
  grid: Grid,
  jobs: readonly Job[],
  options: SweepOptions,
): Promise<SweepResult> {
  const { out } = options;
  using claims = await Claims.open(join(out, "claims"));
  const store = await openStore(join(out, "stages"), claims, options);
  const imported = await scoreImports(grid, options, store);
  let rows: SweepRow[] = [];
  const compare = () =>
    store.alone("comparison", async () => {
      rows = await sweepRows(grid, jobs, imported.scores, out);
      await writeComparison(grid, jobs, rows, out);
    });
  const { failures, elsewhere } = await runJobs(jobs, { ...options, claims, store, onEnd: compare });
  await compare();
  if (elsewhere.length === 0) await claims.sweep();
  return {
    rows,
    failures: { ...failures, ...imported.failures },
    elsewhere: elsewhere.length,
    written: comparisonFiles.map((name) => join(out, name)),
  };
}

const comparisonFiles = ["table.csv", "table.md", "report.html"] as const;

async function writeComparison(
  grid: Grid,
  jobs: readonly Job[],
  rows: readonly SweepRow[],
  out: string,
): Promise<void> {
  const done = jobs.filter((job) => isFinished(out, job)).length;
  const contents = [sweepCsv(rows), sweepMarkdown(rows), sweepPage(grid, rows, { done, all: jobs.length })];
  for (const [index, name] of comparisonFiles.entries())
    await writeFileAtomic(join(out, name), contents[index] ?? "");
}

/** Scores predictions of other programs, each once; one that cannot be scored is reported. */
async function scoreImports(
  grid: Grid,
  options: SweepOptions,
  store: StageStore,
): Promise<{ scores: ImportedScores[]; failures: Record<string, string> }> {
  const scores: ImportedScores[] = [];
  const failures: Record<string, string> = {};
  for (const item of grid.imports) {
    try {
      // Another process may be at the same one.
      await store.alone(`import_${asWord(item.name)}`, async () => {
        scores.push({ item, summary: await scoreImport(item, options) });
      });
    } catch (error) {
      if (!(error instanceof SfrError) || error.code === "cancelled") throw error;
      failures[item.name] = messageOf(error);
      options.progress.problem(`${item.name}: ${messageOf(error)}`);
    }
  }
  return { scores, failures };
}

async function scoreImport(item: GridImport, options: SweepOptions): Promise<Summary> {
  const words = [item.name, ...Object.entries(item.at).map(([path, value]) => `${path}-${asWord(value)}`)];
  const folder = join(options.out, "imports", words.map(asWord).join("_"));
  const path = join(folder, "summary.json");
  if (existsSync(path)) return readSummary(path);
  const { scores, failures } = await scoreFolder(item.predictions, item.references, options);
  for (const problem of Object.values(failures)) options.progress.note(`${item.name}: ${problem}`);
  const summary = summarize(scores, { tolerance: defaultTolerance });
  // Not kept while cases are missing, so that they are looked for again.
  if (Object.keys(failures).length > 0) return summary;
  await mkdir(folder, { recursive: true });
  await writeSummary(path, summary);
  return summary;
}
