import type { FinetuneSettings, SamSettings, Voxels } from "../config/schema.js";
import type { PreparedCase } from "../data/prepare.js";
import { BatchSampler } from "../data/sampler.js";
import { UsageError } from "../errors.js";
import { writeSafetensors } from "../io/safetensors.js";
import type { Precision } from "../native/native.js";
import { type TrainObserver, trainLoop } from "../run/train-loop.js";
import { type StitchGeometry, stitchGeometry } from "../stitch/geometry.js";
import { CanvasMaker } from "./canvas-batch.js";
import { loadStart, type OnLoad, samNetwork, samTraining } from "./sam-file.js";
import { finetuneLearningRate } from "./schedule.js";
import { FinetuneStep } from "./step.js";

export interface FinetuneOptions {
  /** Labelled cases; at least one. */
  cases: readonly PreparedCase[];
  /** K, background included. */
  classes: number;
  patch: Voxels;
  sam: SamSettings;
  settings: FinetuneSettings;
  /** Of the frozen encoder; default f32. */
  precision?: Precision;
  seed: number;
  checkpointEvery: number;
  /** Checkpoint to write and to resume from. */
  checkpointPath: string;
  /** Final weights: all tensors, or the trained ones when SAM came from a checkpoint. */
  weightsPath: string;
  /** SHA-256 of SAM's checkpoint, for the weights file and to hold a LoRA file against; null without a checkpoint. */
  checkpointHash: string | null;
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
  const geometry = stitchGeometry({ patch: options.patch, canvas: sam.canvas });
  using network = samNetwork(sam, options.classes, seed, options.precision);
  using step = new FinetuneStep(network, settings, settings.batch * geometry.canvases);
  await loadStart(network, sam, options);
  using canvases = new CanvasMaker(geometry, options.patch, settings, seed);
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
        await canvases.fill(t, chosen, step.canvases, step.labels);
        return step.run(t, finetuneLearningRate(t, settings, sam.checkpoint === null), aborted);
      },
    },
    observer,
    signal,
  );
  await writeSafetensors(options.weightsPath, network.toState(sam.checkpoint !== null), {
    sfr: JSON.stringify(metadataOf(options, geometry)),
  });
}

/** What the weights file says of itself: all that is needed to use it, and which SAM it belongs to. */
function metadataOf({ sam, classes, patch, checkpointHash }: FinetuneOptions, plan: StitchGeometry): object {
  const training = samTraining(sam);
  return {
    size: sam.size,
    canvas: sam.canvas,
    classes,
    training,
    patch,
    plan,
    preprocessing: { volume: "z-score", channels: "gray, repeated", pixelMean: 0, pixelStd: 1 },
    base: checkpointHash === null ? null : { sha256: checkpointHash },
  };
}
