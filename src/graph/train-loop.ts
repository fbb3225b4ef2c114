import { existsSync } from "node:fs";
import type { HostTensor } from "../io/host-tensor.js";
import { readSafetensors, writeSafetensors } from "../io/safetensors.js";

/** Scalars of one step: losses, learning rate, weights. */
export type StepRecord = Readonly<Record<string, number>>;

/** Everything a training needs to go on after a stop. Random numbers are counter-based: the step is their state. */
export interface TrainJob {
  /** T. */
  steps: number;
  /** Steps between checkpoints. */
  checkpointEvery: number;
  /** Where the checkpoint stands: one safetensors file with all state and the step. */
  checkpointPath: string;
  /** Memory that the training takes in addition to what the process holds before its first step, bytes. */
  memoryBytes: number;
  /** All tensors that a step changes. */
  state(): Map<string, HostTensor>;
  restore(state: ReadonlyMap<string, HostTensor>): void;
  /** Runs step t (0-based). An aborted signal rejects with CancelledError and leaves the state of step t - 1. */
  step(t: number, signal: AbortSignal | undefined): Promise<StepRecord>;
}

/** Told about the progress of a training. */
export interface TrainObserver {
  /** Called once, with the step that the training starts or resumes at and `memoryBytes` of the job. */
  onStart?(step: number, steps: number, memoryBytes: number): void | Promise<void>;
  onStep?(step: number, record: StepRecord): void | Promise<void>;
  /** Called before a checkpoint is written: what onStep was told must be in its files by then, or a kill leaves a gap. */
  onSave?(step: number): void | Promise<void>;
}

/**
 * Runs a training to its end, from its checkpoint when there is one. Saves every `checkpointEvery` steps, at the end
 * and when stopped, so that a kill loses at most the steps since the last save and a resumed run ends in the same bits.
 */
export async function trainLoop(
  job: TrainJob,
  observer: TrainObserver = {},
  signal?: AbortSignal,
): Promise<void> {
  let start = 0;
  if (existsSync(job.checkpointPath)) {
    const { tensors, metadata } = await readSafetensors(job.checkpointPath);
    job.restore(tensors);
    start = Number(metadata.step);
  }
  let saved = start;
  const save = async (step: number) => {
    if (step === saved) return;
    await observer.onSave?.(step);
    await writeSafetensors(job.checkpointPath, job.state(), { step: String(step) });
    saved = step;
  };
  await observer.onStart?.(start, job.steps, job.memoryBytes);
  for (let t = start; t < job.steps; t++) {
    let record: StepRecord;
    try {
      record = await job.step(t, signal);
    } catch (error) {
      await save(t);
      throw error;
    }
    await observer.onStep?.(t, record);
    if ((t + 1) % job.checkpointEvery === 0) await save(t + 1);
  }
  await save(job.steps);
}
