import type { RetrainSettings, SegmenterSettings, Voxels } from "../config/schema.js";
import { channelOf } from "../data/channels.js";
import type { PreparedCase } from "../data/prepare.js";
import { DataError, UsageError } from "../errors.js";
import type { SamLabeller } from "../finetune/sam-labeller.js";
import { type TrainObserver, trainLoop } from "../graph/train-loop.js";
import type { Precision } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import { saveSegmenter } from "../predict/segmenter.js";
import { CropMaker, channelCount } from "./crop-maker.js";
import { type MethodName, methods } from "./methods/index.js";
import { RetrainStep } from "./step.js";

/** Where the labels of unlabelled crops come from. */
export type PseudoLabelSource =
  | { kind: "none" }
  /** SAM labels each augmented crop (the paper) by one channel of it, the first by default. */
  | { kind: "per-crop"; labeller: SamLabeller; channel?: number }
  /** Each volume was labelled once; u8 [D,H,W] by case id. */
  | { kind: "per-volume"; labels: ReadonlyMap<string, Tensor> };

export interface RetrainOptions {
  /** Cases with labels; at least one. */
  labelled: readonly PreparedCase[];
  unlabelled: readonly PreparedCase[];
  /** K, background included. */
  classes: number;
  patch: Voxels;
  segmenter: SegmenterSettings;
  settings: RetrainSettings;
  method: MethodName;
  pseudoLabels: PseudoLabelSource;
  /** In which activations wait for the backward pass; default f32. */
  precision?: Precision;
  seed: number;
  checkpointEvery: number;
  /** Checkpoint to write and to resume from. */
  checkpointPath: string;
  /** Final weights of the student. */
  weightsPath: string;
}

/**
 * Stage 3: trains the segmenter on labelled cases and, by the method, on unlabelled ones with pseudo-labels. Writes the
 * student's weights at the end; resumes from the checkpoint bit for bit.
 */
export async function retrain(
  options: RetrainOptions,
  observer?: TrainObserver,
  signal?: AbortSignal,
): Promise<void> {
  checkOptions(options);
  const channels = channelCount([...options.labelled, ...options.unlabelled]);
  using step = new RetrainStep({
    method: methods[options.method],
    segmenter: options.segmenter,
    settings: options.settings,
    classes: options.classes,
    patch: options.patch,
    channels,
    pseudoLabels: options.pseudoLabels.kind !== "none",
    ...(options.precision === undefined ? {} : { precision: options.precision }),
    seed: options.seed,
  });
  using crops = new CropMaker(options);
  // Steps and the labelling of crops take turns in the same memory.
  const { pseudoLabels } = options;
  const labelling = pseudoLabels.kind === "per-crop" ? pseudoLabels.labeller.addedBytes : 0;
  await trainLoop(
    {
      steps: options.settings.steps,
      checkpointEvery: options.checkpointEvery,
      checkpointPath: options.checkpointPath,
      memoryBytes: Math.max(step.addedBytes, labelling) + step.checkpointBytes,
      state: () => step.state(),
      restore: (state) => step.restore(state),
      async step(t, aborted) {
        await fillBatch(t, step, crops, pseudoLabels, aborted);
        return step.run(t, aborted);
      },
    },
    observer,
    signal,
  );
  await saveSegmenter(options.weightsPath, step.student, {
    model: options.segmenter.model,
    filters: options.segmenter.filters,
    classes: options.classes,
    channels,
    patch: options.patch,
  });
}

function checkOptions({ labelled, unlabelled, method }: RetrainOptions): void {
  if (labelled.length === 0)
    throw new UsageError("retrain: expected at least one labelled case, received none; add labels");
  if (methods[method].usesUnlabelled && unlabelled.length === 0)
    throw new UsageError(
      `retrain: expected unlabelled cases for ${method}, received none; use labelled-only`,
    );
}

/** Fills the batch of step t: crops and their pseudo-labels. */
async function fillBatch(
  t: number,
  step: RetrainStep,
  crops: CropMaker,
  source: PseudoLabelSource,
  signal?: AbortSignal,
): Promise<void> {
  const { images, labels, pseudoLabels } = step.batch;
  const labelledBatch = labels.shape[0] ?? 0;
  await crops.labelled(t, images, labels);
  if (!step.usesUnlabelled(t)) return;
  const drawn = await crops.unlabelled(t, images, labelledBatch);
  if (pseudoLabels === undefined || source.kind === "none") return;
  if (source.kind === "per-crop") {
    // Of the augmented, noise-free crops.
    const channels = images.shape.at(-1) ?? 1;
    const unlabelled = images.f32.subarray(images.count - channels * pseudoLabels.count);
    const seen = channelOf(unlabelled, channels, source.channel ?? 0);
    using input = Tensor.from("f32", pseudoLabels.shape, seen);
    using made = await source.labeller.labelCrops(input, signal);
    pseudoLabels.u8.set(made.u8);
    return;
  }
  for (const [i, { id, draw }] of drawn.entries()) {
    const label = source.labels.get(id);
    if (label === undefined)
      throw new DataError(`retrain: expected a pseudo-label of case '${id}', received none`);
    await crops.into(pseudoLabels, i, label, draw);
  }
}
