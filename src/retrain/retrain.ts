import type { RetrainSettings, SegmenterSettings, Voxels } from "../config/schema.js";
import { Cropper, drawCrop } from "../data/augment.js";
import type { PreparedCase } from "../data/prepare.js";
import { RandomStream } from "../data/random.js";
import { BatchSampler } from "../data/sampler.js";
import { DataError, UsageError } from "../errors.js";
import type { SamLabeller } from "../finetune/sam-labeller.js";
import { segmenterStride } from "../models/segmenter.js";
import type { Precision } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import { saveSegmenter } from "../predict/segmenter.js";
import { type TrainObserver, trainLoop } from "../run/train-loop.js";
import { type MethodName, methods } from "./methods/index.js";
import { RetrainStep } from "./step.js";

/** Where the labels of unlabelled crops come from. */
export type PseudoLabelSource =
  | { kind: "none" }
  /** SAM labels each augmented crop (the paper). */
  | { kind: "per-crop"; labeller: SamLabeller }
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
  using step = new RetrainStep({
    method: methods[options.method],
    segmenter: options.segmenter,
    settings: options.settings,
    classes: options.classes,
    patch: options.patch,
    pseudoLabels: options.pseudoLabels.kind !== "none",
    ...(options.precision === undefined ? {} : { precision: options.precision }),
    seed: options.seed,
  });
  using batches = new BatchMaker(options, step);
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
        await batches.fill(t, aborted);
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
    patch: options.patch,
  });
}

function checkOptions({ labelled, unlabelled, method, patch }: RetrainOptions): void {
  if (labelled.length === 0)
    throw new UsageError("retrain: expected at least one labelled case, received none; add labels");
  if (methods[method].usesUnlabelled && unlabelled.length === 0)
    throw new UsageError(
      `retrain: expected unlabelled cases for ${method}, received none; use labelled-only`,
    );
  if (patch.some((extent) => extent % segmenterStride !== 0))
    throw new UsageError(
      `retrain: expected multiples of ${segmenterStride} voxels for patch, received ${patch.join(" x ")}; round it`,
    );
}

/** Fills the batch of a step: which cases, which crops, which pseudo-labels - all from (seed, step). */
class BatchMaker implements Disposable {
  private readonly cropper: Cropper;
  private readonly labelled: BatchSampler;
  private readonly unlabelled: BatchSampler;

  constructor(
    private readonly options: RetrainOptions,
    private readonly step: RetrainStep,
  ) {
    const { settings, seed } = options;
    this.cropper = new Cropper(options.patch);
    this.labelled = new BatchSampler(options.labelled.length, settings.labelledBatch, seed, "labelled", true);
    this.unlabelled = new BatchSampler(
      options.unlabelled.length,
      settings.unlabelledBatch,
      seed,
      "unlabelled",
      false,
    );
  }

  async fill(t: number, signal: AbortSignal | undefined): Promise<void> {
    const { options, step, cropper } = this;
    const { images, labels, pseudoLabels } = step.batch;
    const labelledBatch = options.settings.labelledBatch;
    for (const [i, index] of this.labelled.at(t).entries()) {
      const { image, label, id } = caseAt(options.labelled, index);
      if (label === undefined)
        throw new DataError(`retrain: expected a label for case '${id}', received none`);
      const draw = this.draw(t, i, image);
      await cropper.into(images, i, image, draw);
      await cropper.into(labels, i, label, draw);
    }
    if (!step.usesUnlabelled(t)) return;
    for (const [i, index] of this.unlabelled.at(t).entries()) {
      const { image, id } = caseAt(options.unlabelled, index);
      const draw = this.draw(t, labelledBatch + i, image);
      await cropper.into(images, labelledBatch + i, image, draw);
      if (pseudoLabels === undefined || options.pseudoLabels.kind !== "per-volume") continue;
      const label = options.pseudoLabels.labels.get(id);
      if (label === undefined)
        throw new DataError(`retrain: expected a pseudo-label of case '${id}', received none`);
      await cropper.into(pseudoLabels, i, label, draw);
    }
    if (pseudoLabels !== undefined && options.pseudoLabels.kind === "per-crop")
      await this.labelCrops(options.pseudoLabels.labeller, images, pseudoLabels, signal);
  }

  /** SAM's labels of the augmented, noise-free unlabelled crops. */
  private async labelCrops(
    labeller: SamLabeller,
    images: Tensor,
    labels: Tensor,
    signal?: AbortSignal,
  ): Promise<void> {
    const perSample = labels.count / (labels.shape[0] ?? 1);
    using crops = Tensor.from(
      "f32",
      labels.shape,
      images.f32.subarray(this.options.settings.labelledBatch * perSample),
    );
    const labelled = await labeller.labelCrops(crops, signal);
    labels.u8.set(labelled.u8);
  }

  private draw(t: number, sample: number, image: Tensor): ReturnType<typeof drawCrop> {
    const [z = 0, y = 0, x = 0] = image.shape;
    const stream = new RandomStream(this.options.seed, t, `crop/${sample}`);
    return drawCrop(stream, [x, y, z], this.options.patch, this.options.settings.rotateCrops);
  }

  dispose(): void {
    this.cropper.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function caseAt(cases: readonly PreparedCase[], index: number): PreparedCase {
  const found = cases[index];
  if (found === undefined)
    throw new DataError(`retrain: expected a case at ${index}, received ${cases.length} cases`);
  return found;
}
