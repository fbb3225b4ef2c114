import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Claims } from "../batch/claims.js";
import { messageOf } from "../error-text.js";
import { CancelledError, SfrError } from "../errors.js";
import type { Progress } from "../io/progress.js";
import { firstDifference } from "../io/stage-key.js";
import type { EngineInfo } from "../native/native.js";
import { runPipeline, withAbsolutePaths } from "../run/pipeline.js";
import { readRunRecord } from "../run/run-folder.js";
import type { StageStore } from "../run/stage-store.js";
import type { Job } from "./jobs.js";

export interface JobsOptions {
  /** Folder of the sweep. */
  readonly out: string;
  readonly claims: Claims;
  readonly store: StageStore;
  /** Called after each job that this process has ended. */
  readonly onEnd: () => Promise<void>;
  readonly engine: EngineInfo;
  readonly skipCheck: boolean;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** What became of the jobs. */
export interface JobsResult {
  /** Why jobs failed, by folder; a run in which some cases failed is one of them. */
  readonly failures: Readonly<Record<string, string>>;
  /** Jobs that another process is at. */
  readonly elsewhere: readonly Job[];
}

/** How often a process looks whether another has finished a stage that it waits for, milliseconds. */
const patience = 1000;

/** Run folder of a job. */
export const jobPath = (out: string, { folder }: Job): string => join(out, "jobs", folder);

/** Whether a job has ended well with the configuration that it has now; its data are not looked at. */
export function isFinished(out: string, job: Job): boolean {
  const path = jobPath(out, job);
  const record = readRunRecord(path);
  return (
    record?.status === "done" &&
    firstDifference(record.config, withAbsolutePaths(job.config)) === undefined &&
    existsSync(join(path, "summary.json"))
  );
}

/**
 * Runs the jobs that are not finished, one after another; several processes may do so at the same time. A job that fails
 * is reported, the rest goes on. Stages that jobs have in common are computed once.
 *
 * @throws CancelledError when stopped; DataError when the folder cannot be written
 */
export async function runJobs(jobs: readonly Job[], options: JobsOptions): Promise<JobsResult> {
  const { out, claims, progress } = options;
  await mkdir(join(out, "jobs"), { recursive: true });
  const failures: Record<string, string> = {};
  const elsewhere: Job[] = [];
  for (const [index, job] of jobs.entries()) {
    if (isFinished(out, job)) continue;
    const claim = await claims.take(`job_${job.folder}`);
    if (claim === undefined) {
      elsewhere.push(job);
      continue;
    }
    try {
      // Another process may have finished it before the claim was free.
      if (isFinished(out, job)) continue;
      progress.note(`job ${index + 1} of ${jobs.length}: ${job.folder}`, "info");
      const problem = await runJob(job, options);
      if (problem !== undefined) {
        failures[job.folder] = problem;
        progress.problem(`job ${job.folder}: ${problem}`);
      }
    } finally {
      await claim.release();
    }
    await options.onEnd();
  }
  return { failures, elsewhere: elsewhere.filter((job) => !isFinished(out, job)) };
}

/** @returns what went wrong, if anything did */
async function runJob(job: Job, options: JobsOptions): Promise<string | undefined> {
  try {
    const out = jobPath(options.out, job);
    const { failures } = await runPipeline(job.config, { ...options, out, until: "report" });
    const failed = Object.entries(failures).map(([id, error]) => `case '${id}': ${messageOf(error)}`);
    return failed.length === 0 ? undefined : failed.join("; ");
  } catch (error) {
    if (error instanceof SfrError && error.code === "cancelled") throw error;
    return messageOf(error);
  }
}

/** The stages that the jobs of a sweep share, in a folder; a claim keeps two processes from the same stage. */
export async function openStore(
  folder: string,
  claims: Claims,
  { progress, signal }: Pick<JobsOptions, "progress" | "signal">,
): Promise<StageStore> {
  await mkdir(folder, { recursive: true });
  return {
    folder,
    alone: async (name, work) => {
      let claim = await claims.take(`alone_${name}`);
      if (claim === undefined) progress.note(`waiting for another process, which is at ${name}`, "info");
      while (claim === undefined) {
        if (signal.aborted)
          throw new CancelledError("sweep: stopped on request while it waited for another process");
        await sleep(patience);
        claim = await claims.take(`alone_${name}`);
      }
      try {
        await work();
      } finally {
        await claim.release();
      }
    },
  };
}
