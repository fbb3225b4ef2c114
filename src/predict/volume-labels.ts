import { Tensor } from "../native/tensor.js";

/** Probabilities that are kept beside the labels: of each voxel's class, or of every class. */
export type KeptMaps = "none" | "confidence" | "probabilities";

/** Value of a map that stands for probability 1; maps are bytes. */
const mapScale = 255;

/** Labels of a whole volume, and how sure the network is of them. */
export class VolumeLabels implements Disposable {
  /** u8 [D, H, W], classes 0..K-1. */
  readonly labels: Tensor;
  /** Probability of each voxel's class, [z][y][x] as the labels; 255 stands for 1. */
  readonly confidence: Uint8Array | undefined;
  /** Probability of every class, as confidence. */
  readonly probabilities: readonly Uint8Array[];
  private sum = 0;
  private foregroundSum = 0;
  private foreground = 0;

  /** @param shape [D, H, W] */
  constructor(
    shape: readonly number[],
    readonly classes: number,
    maps: KeptMaps,
  ) {
    this.labels = Tensor.zeros("u8", shape);
    const map = () => new Uint8Array(this.labels.count);
    this.confidence = maps === "none" ? undefined : map();
    this.probabilities = maps === "probabilities" ? Array.from({ length: classes }, map) : [];
  }

  /** C of SFR+: mean over the voxels of the largest class probability. */
  get meanConfidence(): number {
    return this.sum / this.labels.count;
  }

  /** The same mean over the voxels that are labelled as foreground; null when there are none. */
  get foregroundConfidence(): number | null {
    return this.foreground === 0 ? null : this.foregroundSum / this.foreground;
  }

  /** Takes `count` voxels from position `from` of classes [..] and probabilities [.., K] to position `to`. */
  putRow(to: number, count: number, classes: Uint8Array, probabilities: Float32Array, from: number): void {
    const labels = this.labels.u8;
    for (let i = 0; i < count; i++) {
      const label = classes[from + i] ?? 0;
      const probability = probabilities[(from + i) * this.classes + label] ?? 0;
      labels[to + i] = label;
      this.sum += probability;
      if (label > 0) {
        this.foregroundSum += probability;
        this.foreground++;
      }
      if (this.confidence !== undefined) this.confidence[to + i] = Math.round(probability * mapScale);
    }
    for (const [k, map] of this.probabilities.entries()) {
      for (let i = 0; i < count; i++)
        map[to + i] = Math.round((probabilities[(from + i) * this.classes + k] ?? 0) * mapScale);
    }
  }

  dispose(): void {
    this.labels.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
