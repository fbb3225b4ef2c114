import type { SegmenterSettings, Voxels } from "../config/schema.js";
import { Graph, type Program, type Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import type { WeightSet } from "../graph/weights.js";
import { segment } from "../models/segmenter.js";
import { segmenters } from "../models/segmenters.js";
import { Tensor } from "../native/tensor.js";

/** How sure a segmenter is of a crop. A voxel's confidence is its largest class probability. */
export interface CropConfidence {
  /** C: mean confidence of all voxels. */
  readonly mean: number;
  /** Mean confidence of the voxels that are not labelled background; null when there are none. */
  readonly foreground: number | null;
  /** Share of the voxels whose confidence lies in each of `confidenceBins`. */
  readonly histogram: readonly number[];
}

/** Where the bins of a crop's histogram begin; each ends where the next begins, the last at 1. */
export const confidenceBins = [0, 0.5, 0.7, 0.9, 0.95, 0.985, 0.995] as const;

const reach = (edge: number): `reach ${number}` => `reach ${edge}`;

/**
 * Labels crops by the segmenter as it would predict them - running batch-norm statistics, no dropout - and says how sure
 * it is. Reads the weights that are trained meanwhile.
 */
export class ConfidenceMeter implements Disposable {
  private readonly program: Program;
  private readonly crop: Tensor;

  /**
   * @param classes K, background included
   * @param channels of the crops
   * @param ignoreBelow voxels of less confidence get the label 255, which losses ignore
   */
  constructor(
    student: WeightSet,
    { model, filters }: SegmenterSettings,
    classes: number,
    patch: Voxels,
    channels: number,
    ignoreBelow: number,
  ) {
    const shape = [1, patch[2], patch[1], patch[0], channels];
    const graph = new Graph();
    const context = { graph, weights: student, training: false, updateStatistics: false };
    const x = graph.input("x", "f32", shape);
    const logits = segment(segmenters[model], context, x, { filters, classes, dropout: 0 });
    const labels = ops.argmax(logits);
    const chosen = ops.oneHot(labels, classes);
    const confidence = ops.dotRows(ops.softmax(logits), chosen);
    const background = ops.reshape(ops.slice(chosen, 4, 0, 1), confidence.shape);
    const foreground = ops.affine(background, -1, 1);
    const atLeast = (edge: number) => ops.atLeast(confidence, ops.fill(graph, [], edge));
    const reached = confidenceBins.map((edge): [string, Value] => [reach(edge), ops.sum(atLeast(edge))]);
    this.program = graph.compile({
      labels: ignoreBelow > 0 ? ops.selectLabels(labels, atLeast(ignoreBelow)) : labels,
      total: ops.sum(confidence),
      foregroundTotal: ops.sum(ops.multiply(confidence, foreground)),
      foregroundVoxels: ops.sum(foreground),
      ...Object.fromEntries(reached),
    });
    this.crop = Tensor.zeros("f32", shape);
  }

  /** Memory that this takes in addition to what the process holds now, bytes. */
  get addedBytes(): number {
    return this.program.addedBytes;
  }

  /** Of crops f32 [N, D, H, W, channels]; their labels go to `labels` u8 [N, D, H, W]. */
  async measure(crops: Tensor, labels: Tensor, signal?: AbortSignal): Promise<CropConfidence[]> {
    const size = this.crop.count;
    const voxels = size / (this.crop.shape.at(-1) ?? 1);
    const measured: CropConfidence[] = [];
    for (let i = 0; i < crops.count / size; i++) {
      this.crop.f32.set(crops.f32.subarray(i * size, (i + 1) * size));
      const out: Readonly<Record<string, Tensor>> = await this.program.run({ x: this.crop }, signal);
      const value = (name: string): number => out[name]?.item ?? Number.NaN;
      if (out.labels !== undefined) labels.u8.set(out.labels.u8, i * voxels);
      const counts = [...confidenceBins.map((edge) => value(reach(edge))), 0];
      const foregroundVoxels = value("foregroundVoxels");
      measured.push({
        mean: value("total") / voxels,
        foreground: foregroundVoxels === 0 ? null : value("foregroundTotal") / foregroundVoxels,
        histogram: confidenceBins.map((_, bin) => ((counts[bin] ?? 0) - (counts[bin + 1] ?? 0)) / voxels),
      });
    }
    return measured;
  }

  dispose(): void {
    this.program.dispose();
    this.crop.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
