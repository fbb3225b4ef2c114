import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Config } from "../config/schema.js";
import { messageOf } from "../error-text.js";
import { SfrError } from "../errors.js";
import type { CaseStore } from "./case-store.js";
import type { GivenLabels } from "./given-labels.js";
import type { Arm } from "./plan.js";
import type { Progress } from "./progress.js";
import type { RunFolder } from "./run-folder.js";

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
}

/** A stage as the run folder knows it. */
export interface StageSpec {
  readonly name: string;
  /** `stageKey` of everything that its result depends on. */
  readonly key: string;
  /** Paths that hold its files; another key removes them. */
  readonly owns: readonly string[];
  /** Files that a finished stage has left. */
  readonly results: readonly string[];
}

/**
 * Runs a stage unless it has ended before with the same key and its results are there. Files of another key (an input
 * has changed since) are removed first, so that no checkpoint of other data is gone on with.
 *
 * @param body does the work; a text it returns says what went wrong with some cases only
 */
export async function runStage(
  { folder, progress }: RunContext,
  stage: StageSpec,
  body: () => Promise<string | undefined>,
): Promise<void> {
  if (folder.isDone(stage.name, stage.key) && stage.results.every((path) => existsSync(path))) return;
  const before = folder.record.stages.find(({ name }) => name === stage.name);
  if (before !== undefined && before.key !== stage.key) {
    progress.note(`${stage.name}: its inputs have changed since the last start; it begins anew`);
    for (const path of stage.owns) await rm(path, { recursive: true, force: true });
  }
  await folder.startStage(stage.name, stage.key);
  try {
    const problem = await body();
    await folder.endStage(stage.name, problem === undefined ? "done" : "partial", problem);
  } catch (error) {
    const isStop = error instanceof SfrError && error.code === "cancelled";
    await folder.endStage(stage.name, isStop ? "stopped" : "failed", messageOf(error));
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
