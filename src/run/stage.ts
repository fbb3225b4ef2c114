import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Config } from "../config/schema.js";
import { messageOf } from "../error-text.js";
import { SfrError } from "../errors.js";
import type { Progress } from "../io/progress.js";
import type { CaseStore } from "./case-store.js";
import type { GivenLabels } from "./given-labels.js";
import type { Arm } from "./plan.js";
import type { RunFolder } from "./run-folder.js";
import { putStage, type StageStore, storedName, takeStage } from "./stage-store.js";

/** What the stages of one run share. */
export interface RunContext {
  readonly config: Config;
  readonly folder: RunFolder;
  readonly cases: CaseStore;
  readonly arms: readonly Arm[];
  /** Label files in the place of SAM's pseudo-labels, when the configuration names them. */
  readonly givenLabels: GivenLabels | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
  /** Finished stages of other runs, when this one is part of a sweep. */
  readonly store: StageStore | undefined;
}

/** A stage as the run folder knows it. */
export interface StageSpec {
  readonly name: string;
  /** `stageKey` of everything that its result depends on. */
  readonly key: string;
  /** Paths that hold its files; another key removes them. Stages that own none are not shared with other runs. */
  readonly owns: readonly string[];
  /** Files that a finished stage has left. */
  readonly results: readonly string[];
}

/**
 * Runs a stage unless it has ended before with the same key and its results are there. Files of another key (an input
 * has changed since) are removed first, so that no checkpoint of other data is gone on with. Where runs share a store, a
 * stage that one of them has finished is taken from there.
 *
 * @param body does the work; a text it returns says what went wrong with some cases only
 */
export async function runStage(
  context: RunContext,
  stage: StageSpec,
  body: () => Promise<string | undefined>,
): Promise<void> {
  const { folder, progress, store } = context;
  if (folder.isDone(stage.name, stage.key) && stage.results.every((path) => existsSync(path))) return;
  const before = folder.record.stages.find(({ name }) => name === stage.name);
  if (before !== undefined && before.key !== stage.key) {
    progress.note(`${stage.name}: its inputs have changed since the last start; it begins anew`);
    for (const path of stage.owns) await rm(path, { recursive: true, force: true });
  }
  if (store === undefined || stage.owns.length === 0) return recordedStage(folder, stage, body);
  await store.alone(storedName(stage), async () => {
    if (await takeStage(store, context, stage)) return;
    await recordedStage(folder, stage, async () => {
      const problem = await body();
      await folder.checkpointStage(stage.name);
      // Before it is on record as done: a kill in between leaves one that is done again, not one that nobody finds.
      if (problem === undefined) await putStage(store, context, stage, stageSeconds(folder, stage.name));
      return problem;
    });
  });
}

/** Runs a stage and writes into the record how it ended. */
async function recordedStage(
  folder: RunFolder,
  { name, key }: StageSpec,
  body: () => Promise<string | undefined>,
): Promise<void> {
  await folder.startStage(name, key);
  try {
    const problem = await body();
    await folder.endStage(name, problem === undefined ? "done" : "partial", problem);
  } catch (error) {
    const isStop = error instanceof SfrError && error.code === "cancelled";
    await folder.endStage(name, isStop ? "stopped" : "failed", messageOf(error));
    throw error;
  }
}

/** Time that a stage has taken over all starts, in seconds; 0 when it never ran. */
export function stageSeconds(folder: RunFolder, name: string): number {
  return folder.record.stages.find((stage) => stage.name === name)?.wallSeconds ?? 0;
}

/** Folders of a run, relative to it; docs/reference lists what they hold. */
export const runPaths = {
  splits: "splits",
  preprocessing: "preprocessing.json",
  finetune: "finetune",
  pseudoLabels: "pseudo-labels",
  pictures: "pictures",
  tensorboard: "tensorboard",
  arm: (arm: Arm): string => `arms/${arm.folder}`,
} as const;

/** File name of a case's result: its id without path separators. */
export function caseFile(id: string, extension: string): string {
  return `${id.replaceAll(/[/\\]/g, "_")}${extension}`;
}
