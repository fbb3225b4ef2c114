import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import type { Config } from "../config/schema.js";
import { describeGeometry } from "../data/case-geometry.js";
import type { Split } from "../data/splits.js";
import { messageOf } from "../error-text.js";
import { SfrError, UsageError } from "../errors.js";
import { naturalImageFiles } from "../finetune/natural-images.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { hashFiles } from "../io/hash-files.js";
import type { Progress } from "../io/progress.js";
import type { EngineInfo } from "../native/native.js";
import { version } from "../version.js";
import { canvasPictureStage } from "./canvas-pictures.js";
import { CaseStore } from "./case-store.js";
import { checkData } from "./check-data.js";
import { evaluateStage } from "./evaluate-stage.js";
import { exchangeStage } from "./exchange-stage.js";
import { areGiven, findGivenLabels } from "./given-labels.js";
import { type FileHashes, StageKeys } from "./keys.js";
import { locatorFile } from "./locator.js";
import { planArms, requireUnlabelled } from "./plan.js";
import { predictStage } from "./predict-stage.js";
import { type ArmScores, runNotes, scoredArms, writeRunReport, writeRunSummary } from "./report-stage.js";
import { retrainStage } from "./retrain-stage.js";
import { RunFolder, type RunIdentity, type RunStatus } from "./run-folder.js";
import type { ScoredArm } from "./score-table.js";
import { type RunContext, runPaths, runStage } from "./stage.js";
import type { StageStore } from "./stage-store.js";
import { finetuneStage, pseudoLabelStage } from "./training-stages.js";

/** The last stage to run, with all before it. */
export type LastStage = "finetune" | "retrain" | "report";

export interface PipelineOptions {
  /** Run folder; an unlike run in it is refused, a like one gone on with. */
  readonly out: string;
  readonly until: LastStage;
  readonly engine: EngineInfo;
  /** Leaves out the check of the data before a training. */
  readonly skipCheck?: boolean;
  /** Stages that runs of a sweep share. */
  readonly store?: StageStore;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** How a run ended. */
export interface PipelineResult {
  readonly status: Extract<RunStatus, "done" | "partial">;
  /** Scores of the arms; empty before the stage `report`, or without labelled test cases. */
  readonly scores: readonly ScoredArm[];
  readonly labelNames: Readonly<Record<string, string>>;
  /** Sentences that belong beside the scores. */
  readonly notes: readonly string[];
  /** Path of report.html when it was written. */
  readonly report: string | undefined;
  /** Cases that failed, with reasons. */
  readonly failures: Readonly<Record<string, string>>;
}

/**
 * Runs the stages of a configuration up to `until`, each one unless it has ended before with the same inputs: prepare,
 * fine-tune, pseudo-label, re-train and exchange per arm, predict, evaluate, report.
 *
 * @throws UsageError when the folder holds another run or the settings do not fit together; DataError when training data
 *   cannot be read; CancelledError when stopped, with checkpoints written
 */
export async function runPipeline(settings: Config, options: PipelineOptions): Promise<PipelineResult> {
  const config = withAbsolutePaths(settings);
  const arms = planArms(config);
  const hashes = await hashFilesOf(config, options.signal);
  const requireCases = ({ unlabelled }: Split) => requireUnlabelled(arms, unlabelled.length);
  await using cases = await CaseStore.open(config, requireCases, options.signal);
  const givenLabels = areGiven(config.pseudoLabels)
    ? await findGivenLabels(config.pseudoLabels, cases.split.unlabelled, options.signal)
    : undefined;
  const folder = await RunFolder.open(options.out, identityOf(config, options.engine));
  await using _ = folder;
  const context: RunContext = {
    ...{ config, folder, cases, arms, givenLabels },
    progress: options.progress,
    signal: options.signal,
    store: options.store,
  };
  for (const warning of folder.warnings) options.progress.note(`warning: ${warning}`);
  if (config.precision === "bf16" && options.engine.device === "cpu" && options.engine.bf16 === "rounded")
    options.progress.note(
      "warning: precision bf16 saves memory and no time here: this CPU has no products of bf16 (avx512_bf16), f32 ones of rounded numbers take their place",
    );
  try {
    const locator = cases.plan.locator?.sha256;
    await folder.addHashes({ inputs: cases.hashes, weights: { ...hashes, ...(locator && { locator }) } });
    const result = await runStages(context, new StageKeys(context, hashes), options);
    await folder.close(result.status);
    return result;
  } catch (error) {
    const isStop = error instanceof SfrError && error.code === "cancelled";
    await folder.close(isStop ? "stopped" : "failed");
    throw error;
  }
}

/** Hashes of the files that SAM starts from, of natural images and of the record that SFR+ replays. */
async function hashFilesOf(
  { sam, finetune, exchange }: Config,
  signal: AbortSignal | undefined,
): Promise<FileHashes> {
  if (sam.lora !== null && sam.checkpoint === null)
    throw new UsageError(
      "sam.lora: expected sam.checkpoint beside it, the SAM that the updates were trained on, received none; name it",
    );
  return {
    ...(sam.checkpoint === null ? {} : { sam: await hashFiles([sam.checkpoint], signal) }),
    ...(sam.lora === null ? {} : { lora: await hashFiles([sam.lora], signal) }),
    ...(finetune.naturalImages === null
      ? {}
      : { natural: await hashFiles(naturalImageFiles(finetune.naturalImages), signal) }),
    ...(exchange.replay === null ? {} : { replay: await hashFiles([exchange.replay], signal) }),
  };
}

async function runStages(
  context: RunContext,
  keys: StageKeys,
  { until, skipCheck }: PipelineOptions,
): Promise<PipelineResult> {
  const { arms, config, folder, cases } = context;
  await prepareStage(context, keys, skipCheck);
  if (arms.some(({ needsSam }) => needsSam)) {
    await finetuneStage(context, keys);
    await canvasPictureStage(context, keys);
  }
  const usesCache =
    config.pseudoLabels === "per-volume" && arms.some(({ usesPseudoLabels }) => usesPseudoLabels);
  if (until !== "finetune" && usesCache) await pseudoLabelStage(context, keys);
  if (until === "retrain" || until === "report") {
    for (const arm of arms) await retrainStage(context, keys, arm);
    for (const arm of arms) await exchangeStage(context, keys, arm);
  }
  const scores: ArmScores[] = [];
  let report: string | undefined;
  if (until === "report") {
    for (const arm of arms) await predictStage(context, keys, arm);
    for (const arm of arms) {
      const summary = await evaluateStage(context, keys, arm);
      if (summary !== undefined) scores.push({ arm, summary });
    }
    await writeRunSummary(context, scores);
    report = await writeRunReport(context, scores);
  }
  const failures = Object.entries(folder.record.cases).flatMap(([id, { status, error }]) =>
    status === "failed" ? [[id, error ?? "unknown"] as const] : [],
  );
  return {
    status: failures.length === 0 ? "done" : "partial",
    scores: scoredArms(context, scores),
    labelNames: cases.labelNames,
    notes: runNotes(context),
    report,
    failures: Object.fromEntries(failures),
  };
}

/** Stage 0: which case takes which part, as lists; reads all training cases, so that a bad one is found at once. */
async function prepareStage(context: RunContext, keys: StageKeys, skipCheck = false): Promise<void> {
  const { cases, folder, progress } = context;
  const lists = ["labelled", "unlabelled", "test"] as const;
  const paths = lists.map((name) => folder.file(runPaths.splits, `${name}.list`));
  const recordPath = folder.file(runPaths.preprocessing);
  const { locatorPath } = cases;
  const locators = locatorPath === undefined ? [] : [folder.file(locatorFile)];
  const results = [...paths, recordPath, ...locators];
  const spec = { name: "prepare", key: keys.prepare(), owns: [], results };
  await runStage(context, spec, async () => {
    if (!skipCheck) await checkData(context);
    await mkdir(folder.file(runPaths.splits), { recursive: true });
    for (const [index, name] of lists.entries()) {
      const text = cases.split[name].map(({ id }) => `${id}\n`).join("");
      await writeFileAtomic(paths[index] ?? "", text);
    }
    if (locatorPath !== undefined)
      await writeFileAtomic(folder.file(locatorFile), createReadStream(locatorPath));
    const start = performance.now();
    const counts = lists.map((name) => `${cases.split[name].length} ${name}`).join(", ");
    progress.begin(
      "read training cases",
      cases.split.labelled.length + cases.split.unlabelled.length,
      0,
      "cases",
    );
    await cases.labelled();
    progress.update(cases.split.labelled.length);
    await cases.unlabelled();
    await writeFileAtomic(recordPath, `${JSON.stringify(await preprocessingRecord(cases), null, 2)}\n`);
    progress.end((performance.now() - start) / 1000, counts);
    return undefined;
  });
}

/** The plan, and what it made of each training case. */
async function preprocessingRecord(cases: CaseStore): Promise<object> {
  const loaded = await cases.loaded();
  const records = loaded.map(({ id, geometry }) => [id, describeGeometry(geometry)] as const);
  return { plan: cases.plan, cases: Object.fromEntries(records) };
}

/** A configuration as run.json holds it: with paths as they must stay when the run is gone on with from another folder. */
export function withAbsolutePaths(config: Config): Config {
  const { checkpoint, lora } = config.sam;
  const absolute = (path: string | null) => (path === null ? null : resolve(path));
  return {
    ...config,
    data: { ...config.data, root: resolve(config.data.root) },
    preprocess: { ...config.preprocess, locator: absolute(config.preprocess.locator) },
    sam: { ...config.sam, checkpoint: absolute(checkpoint), lora: absolute(lora) },
    finetune: { ...config.finetune, naturalImages: absolute(config.finetune.naturalImages) },
    exchange: { ...config.exchange, replay: absolute(config.exchange.replay) },
    pseudoLabels: areGiven(config.pseudoLabels) ? resolve(config.pseudoLabels) : config.pseudoLabels,
  };
}

function identityOf(config: Config, engine: EngineInfo): RunIdentity {
  return {
    config,
    seed: config.seed,
    versions: { sfr: version, node: process.version, compiler: engine.compiler },
    cpuLevel: engine.simd,
    device: engine.device,
  };
}

/** What to say of a failed case. */
export function failureLines(failures: Readonly<Record<string, string>>): string[] {
  return Object.entries(failures).map(([id, error]) => `failed: ${id}: ${messageOf(error)}`);
}
