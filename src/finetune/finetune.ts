import type { FinetuneSettings } from "../config/schema.js";
import type { PreparedCase } from "../data/prepare.js";
import { BatchSampler } from "../data/sampler.js";
import { UsageError } from "../errors.js";
import { type TrainObserver, trainLoop } from "../graph/train-loop.js";
import type { Precision } from "../native/native.js";
import { inputPlan } from "../stitch/input-plan.js";
import { CanvasMaker } from "./canvas-batch.js";
import { loadStart, type OnLoad, type SamFacts, samNetwork, saveSam } from "./sam-file.js";
import { finetuneLearningRate } from "./schedule.js";
import { FinetuneStep } from "./step.js";

export interface FinetuneOptions extends SamFacts {
  /** Labelled cases; at least one. */
  cases: readonly PreparedCase[];
  settings: FinetuneSettings;
  /** Of the frozen encoder; default f32. */
  precision?: Precision;
  seed: number;
  checkpointEvery: number;
  /** Checkpoint to write and to resume from. */
  checkpointPath: string;
  /** Final weights: all tensors, or the trained ones when SAM came from a checkpoint. */
  weightsPath: string;
  /** Told what was taken from each file that SAM starts from. */
  onLoad?: OnLoad;
}

/**
 * Stage 2: fine-tunes SAM on stitched canvases of labelled cases, CE + Dice, AdamW. Resumes from the checkpoint bit for
 * bit.
 */
export async function finetune(
  options: FinetuneOptions,
  observer?: TrainObserver,
  signal?: AbortSignal,
): Promise<void> {
  const { cases, settings, sam, seed } = options;
  if (cases.length === 0)
    throw new UsageError("finetune: expected at least one labelled case, received none; add labels");
  const plan = inputPlan(options.patch, sam);
  using network = samNetwork(sam, options.classes, seed, options.precision);
  using step = new FinetuneStep(network, settings, settings.batch * plan.geometry.canvases);
  await loadStart(network, sam, options);
  using canvases = new CanvasMaker(plan, settings, options.classes, seed);
  const sampler = new BatchSampler(cases.length, settings.batch, seed, "finetune", false);
  await trainLoop(
    {
      steps: settings.steps,
      checkpointEvery: options.checkpointEvery,
      checkpointPath: options.checkpointPath,
      memoryBytes: step.addedBytes + step.checkpointBytes,
      state: () => step.state(),
      restore: (state) => step.restore(state),
      async step(t, aborted) {
        const chosen = sampler.at(t).flatMap((index) => cases[index] ?? []);
        await canvases.fill(t, chosen, step);
        return step.run(t, finetuneLearningRate(t, settings, sam.checkpoint === null), aborted);
      },
    },
    observer,
    signal,
  );
  await saveSam(options.weightsPath, network, options);
}
