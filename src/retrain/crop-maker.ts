import type { RetrainSettings, Voxels } from "../config/schema.js";
import { type CropDraw, Cropper, drawCrop } from "../data/augment.js";
import type { PreparedCase } from "../data/prepare.js";
import { BatchSampler } from "../data/sampler.js";
import { DataError } from "../errors.js";
import { RandomStream } from "../graph/random.js";
import type { Tensor } from "../native/tensor.js";

/** What crops are taken from, and how. */
export interface CropSource {
  /** Cases with labels. */
  labelled: readonly PreparedCase[];
  unlabelled: readonly PreparedCase[];
  patch: Voxels;
  settings: Pick<RetrainSettings, "labelledBatch" | "unlabelledBatch" | "rotateCrops">;
  seed: number;
}

/** A crop that was taken of an unlabelled case. */
export interface DrawnCrop {
  readonly id: string;
  readonly draw: CropDraw;
}

/** Number of channels that all cases have. Throws DataError when they differ. */
export function channelCount(cases: readonly PreparedCase[]): number {
  const [first] = cases;
  const channels = first?.channels.length ?? 1;
  const other = cases.find((entry) => entry.channels.length !== channels);
  if (other === undefined) return channels;
  throw new DataError(
    `case '${other.id}': expected ${channels} channels as case '${first?.id}' has, received ${other.channels.length}; ` +
      "give every case the same channels",
  );
}

/** Takes the crops of re-training steps: which cases and where, all from (seed, step). */
export class CropMaker implements Disposable {
  private readonly cropper: Cropper;
  private readonly labelledCases: BatchSampler;
  private readonly unlabelledCases: BatchSampler;

  constructor(private readonly source: CropSource) {
    const { labelled, unlabelled, settings, seed } = source;
    this.cropper = new Cropper(source.patch);
    this.labelledCases = new BatchSampler(labelled.length, settings.labelledBatch, seed, "labelled", true);
    this.unlabelledCases = new BatchSampler(
      unlabelled.length,
      settings.unlabelledBatch,
      seed,
      "unlabelled",
      false,
    );
  }

  /**
   * Writes the labelled crops of step t into the first samples of `images` f32 [N, D, H, W, C] and `labels` u8
   * [labelled, D, H, W]. Throws DataError when a case has no label.
   */
  async labelled(t: number, images: Tensor, labels: Tensor): Promise<void> {
    for (const [i, index] of this.labelledCases.at(t).entries()) {
      const { channels, image, label, id } = caseAt(this.source.labelled, index);
      if (label === undefined)
        throw new DataError(`retrain: expected a label for case '${id}', received none`);
      const draw = this.draw(t, i, image);
      await this.cropper.channelsInto(images, i, channels, draw);
      await this.into(labels, i, label, draw);
    }
  }

  /**
   * Writes the unlabelled crops of step t into the samples of `images` f32 [N, D, H, W, C] from `first` on.
   */
  async unlabelled(t: number, images: Tensor, first: number): Promise<DrawnCrop[]> {
    const drawn: DrawnCrop[] = [];
    for (const [i, index] of this.unlabelledCases.at(t).entries()) {
      const { channels, image, id } = caseAt(this.source.unlabelled, index);
      const draw = this.draw(t, this.source.settings.labelledBatch + i, image);
      await this.cropper.channelsInto(images, first + i, channels, draw);
      drawn.push({ id, draw });
    }
    return drawn;
  }

  /** Writes the crop of another volume of the case, such as its label, into sample `index` of a batch. */
  into(batch: Tensor, index: number, volume: Tensor, draw: CropDraw): Promise<void> {
    return this.cropper.into(batch, index, volume, draw);
  }

  private draw(t: number, sample: number, image: Tensor): CropDraw {
    const [z = 0, y = 0, x = 0] = image.shape;
    const stream = new RandomStream(this.source.seed, t, `crop/${sample}`);
    return drawCrop(stream, [x, y, z], this.source.patch, this.source.settings.rotateCrops);
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
