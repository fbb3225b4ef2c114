import { Tensor } from "../native/tensor.js";

/** Probabilities that are kept beside the labels: of each voxel's class, or of every class. */
export type KeptMaps = "none" | "confidence" | "probabilities";

/** Value of a map that stands for probability 1; maps are bytes. */
const mapScale = 255;

/** Takes what a network says of a volume row by row, y rising, then z. */
export interface RowSink {
  /** Slices, rows, columns: [D, H, W]. */
  readonly shape: readonly [number, number, number];
  /** K, background included. */
  readonly classes: number;
  /** Takes row (z, y): voxels from position `from` on of classes [..] and of their probabilities [.., K]. */
  row(z: number, y: number, classes: Uint8Array, probabilities: Float32Array, from: number): void;
}

/** Labels of a whole volume, and how sure the network is of them. */
export class VolumeLabels implements RowSink, Disposable {
  /** u8 [D, H, W], classes 0..K-1. */
  readonly labels: Tensor;
  /** Probability of each voxel's class, [z][y][x] as the labels; 255 stands for 1. */
  readonly confidence: Uint8Array | undefined;
  /** Probability of every class, as confidence. */
  readonly probabilities: readonly Uint8Array[];
  private count = 0;
  private sum = 0;
  private foregroundSum = 0;
  private foreground = 0;

  constructor(
    readonly shape: RowSink["shape"],
    readonly classes: number,
    maps: KeptMaps,
  ) {
    this.labels = Tensor.zeros("u8", shape);
    const map = () => new Uint8Array(this.labels.count);
    this.confidence = maps === "none" ? undefined : map();
    this.probabilities = maps === "probabilities" ? Array.from({ length: classes }, map) : [];
  }

  /** C of SFR+: mean over the voxels that the network saw of the largest class probability. */
  get meanConfidence(): number {
    return this.sum / this.count;
  }

  /** The same mean over the voxels that are labelled as foreground; null when there are none. */
  get foregroundConfidence(): number | null {
    return this.foreground === 0 ? null : this.foregroundSum / this.foreground;
  }

  row(z: number, y: number, classes: Uint8Array, probabilities: Float32Array, from: number): void {
    const [, height, width] = this.shape;
    this.putRow((z * height + y) * width, width, classes, probabilities, from);
  }

  /** Makes all voxels background beyond doubt, until others are put. */
  clear(): void {
    this.confidence?.fill(mapScale);
    this.probabilities[0]?.fill(mapScale);
  }

  /** Takes `count` voxels from position `from` of classes [..] and probabilities [.., K] to position `to`. */
  putRow(to: number, count: number, classes: Uint8Array, probabilities: Float32Array, from: number): void {
    const labels = this.labels.u8;
    this.count += count;
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
