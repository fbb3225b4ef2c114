import { argmaxAt } from "../data/argmax.js";
import type { CaseGeometry } from "../data/case-geometry.js";
import { blendRows, boxTaps, type Taps } from "../data/resize.js";
import { type KeptMaps, type RowSink, VolumeLabels } from "./volume-labels.js";

/**
 * Brings probabilities back to the grid of the file: interpolated class by class where the volume was resampled, then
 * the largest wins; outside the crop all is background. Slices are done as soon as those that they are made of have
 * come, so the probabilities of a few slices are all that is kept.
 */
export class RestoringSink implements RowSink {
  readonly shape: RowSink["shape"];
  /** On the grid of the file. */
  readonly result: VolumeLabels;
  private readonly taps: readonly [Taps, Taps, Taps];
  /** Slices [H, W, K] that are still needed, by z; their memory is used again. */
  private readonly slices = new Map<number, Float32Array>();
  private readonly free: Float32Array[] = [];
  /** Next slice of the crop. */
  private next = 0;
  /** Of a slice and of a row of the crop, at the extents of the network's volume along the other axes. */
  private readonly plane: Float32Array;
  private readonly line: Float32Array;
  private readonly lineClasses: Uint8Array;
  private readonly out: { readonly classes: Uint8Array; readonly probabilities: Float32Array };

  constructor(
    private readonly geometry: CaseGeometry,
    readonly classes: number,
    private readonly maps: KeptMaps,
  ) {
    const { source, crop, shape } = geometry;
    const [width, height, depth] = shape;
    this.shape = [depth, height, width];
    this.result = new VolumeLabels([source.shape[2], source.shape[1], source.shape[0]], classes, maps);
    this.result.clear();
    this.taps = boxTaps(shape, crop.shape);
    this.plane = new Float32Array(height * width * classes);
    this.line = new Float32Array(width * classes);
    this.lineClasses = new Uint8Array(width);
    const out = crop.shape[0];
    this.out = { classes: new Uint8Array(out), probabilities: new Float32Array(out * classes) };
  }

  row(z: number, y: number, _classes: Uint8Array, probabilities: Float32Array, from: number): void {
    const [, height, width] = this.shape;
    const length = width * this.classes;
    let slice = this.slices.get(z);
    if (slice === undefined) {
      slice = this.free.pop() ?? new Float32Array(height * length);
      this.slices.set(z, slice);
    }
    const start = from * this.classes;
    slice.set(probabilities.subarray(start, start + length), y * length);
    if (y < height - 1) return;
    const [, , { first, count }] = this.taps;
    while (this.next < first.length && (first[this.next] ?? 0) + count <= z + 1) {
      this.finishSlice(this.next++);
    }
    for (const [old, memory] of this.slices) {
      if (old >= (first[this.next] ?? z + 1)) continue;
      this.slices.delete(old);
      this.free.push(memory);
    }
  }

  /** Makes slice z of the crop. */
  private finishSlice(z: number): void {
    const [, alongY, { first, count, weights }] = this.taps;
    const { source, crop } = this.geometry;
    const [width, height] = source.shape;
    const plane = this.plane.fill(0);
    for (let j = 0; j < count; j++) {
      const weight = weights[z * count + j] ?? 0;
      const slice = this.slices.get((first[z] ?? 0) + j);
      if (weight === 0 || slice === undefined) continue;
      for (let i = 0; i < plane.length; i++) plane[i] = (plane[i] ?? 0) + weight * (slice[i] ?? 0);
    }
    const { length } = this.line;
    for (let y = 0; y < crop.shape[1]; y++) {
      const rows = { from: (alongY.first[y] ?? 0) * length, stride: length, count: alongY.count, length };
      blendRows(this.line, plane, rows, alongY.weights, y * alongY.count);
      this.finishRow();
      const row = (crop.begin[2] + z) * height + crop.begin[1] + y;
      const to = row * width + crop.begin[0];
      this.result.putRow(to, crop.shape[0], this.out.classes, this.out.probabilities, 0);
    }
  }

  /** Makes `out` of `line`. */
  private finishRow(): void {
    const { classes, line, lineClasses, out } = this;
    const [{ first, count, weights }] = this.taps;
    for (let x = 0; x < lineClasses.length; x++) lineClasses[x] = argmaxAt(line, x * classes, 1, classes);
    for (let x = 0; x < first.length; x++) {
      const begin = first[x] ?? 0;
      const common = lineClasses[begin] ?? 0;
      let isCommon = this.maps !== "probabilities";
      for (let j = 1; j < count && isCommon; j++) isCommon = lineClasses[begin + j] === common;
      // Where one class is the largest in all that a voxel is made of, it is the largest in the voxel.
      const [lowest, highest] = isCommon ? [common, common] : [0, classes - 1];
      for (let k = lowest; k <= highest; k++) {
        let sum = 0;
        for (let j = 0; j < count; j++) {
          sum += (weights[x * count + j] ?? 0) * (line[(begin + j) * classes + k] ?? 0);
        }
        out.probabilities[x * classes + k] = sum;
      }
      out.classes[x] = isCommon ? common : argmaxAt(out.probabilities, x * classes, 1, classes);
    }
  }
}
