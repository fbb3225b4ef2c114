import type { Voxels } from "../config/schema.js";
import { Cropper } from "../data/augment.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import { checkStride, windowCorners } from "./windows.js";

/** Class logits of one patch; the returned tensor is valid until the next call. */
export type PatchModel = (patch: Tensor, signal: AbortSignal | undefined) => Promise<Tensor>;

export interface SlidingWindowOptions {
  classes: number;
  /** Extents of the model's input, voxels (x, y, z). */
  patch: Voxels;
  stride: Voxels;
  signal?: AbortSignal;
  onWindow?(done: number, total: number): void;
}

/**
 * Labels of a whole volume: softmax of every window is summed and divided by the number of windows, then argmax
 * (test_single_case of the semi-supervised papers). Windows go from low to high z, and probabilities are kept of as many
 * slices as a patch has: a volume of more slices needs no more memory for them.
 *
 * @param image f32 [D, H, W], z-scored
 * @param model takes f32 [1, D, H, W] and gives logits [1, D, H, W, K] or [D, H, W, K]
 * @returns u8 [D, H, W]
 * @throws UsageError when the stride is larger than the patch
 */
export async function slidingWindow(
  image: Tensor,
  model: PatchModel,
  options: SlidingWindowOptions,
): Promise<Tensor> {
  const { patch, stride, signal } = options;
  checkStride(patch, stride);
  const [depth = 0, height = 0, width = 0] = image.shape;
  const [px, py, pz] = patch;
  using cropper = new Cropper(patch);
  using crop = Tensor.zeros("f32", [1, pz, py, px]);
  const result = Tensor.zeros("u8", image.shape);
  const corners = windowCorners([width, height, depth], patch, stride);
  using slab = new Slab(result, corners[0]?.[2] ?? 0, options);
  for (const [i, corner] of corners.entries()) {
    await slab.advance(corner[2]);
    await cropper.into(crop, 0, image, { corner, turns: 0, flip: 0 });
    await slab.add(await model(crop, signal), corner);
    options.onWindow?.(i + 1, corners.length);
  }
  await slab.advance(depth);
  return result;
}

/**
 * Sums of probabilities over the slices that windows of one z position cover, and of the slices before them the labels.
 * Where a volume is smaller than the patch the slab is larger: every window lies inside.
 */
class Slab implements Disposable {
  private readonly sums: Tensor;
  private readonly counts: Tensor;
  private readonly offset = Tensor.zeros("i32", [3]);
  private readonly accumulate: Program<never>;
  private readonly finish: Program<"labels">;

  /**
   * @param result u8 [D, H, W], filled slice by slice
   * @param start z of the slab's first slice in voxels of the volume; negative in the padding
   */
  constructor(
    private readonly result: Tensor,
    private start: number,
    { classes, patch: [px, py, pz] }: SlidingWindowOptions,
  ) {
    const [, height = 0, width = 0] = result.shape;
    const shape = [pz, Math.max(height, py), Math.max(width, px)];
    this.sums = Tensor.zeros("f32", [...shape, classes]);
    this.counts = Tensor.zeros("f32", shape);
    const graph = new Graph();
    const [sums, counts] = [graph.persistent(this.sums, "sums"), graph.persistent(this.counts, "counts")];
    const logits = graph.input("logits", "f32", [1, pz, py, px, classes]);
    ops.windowAccumulate(sums, counts, logits, graph.input("offset", "i32", [3]));
    this.accumulate = graph.compile({});
    const end = new Graph();
    const means = ops.windowMean(end.persistent(this.sums, "sums"), end.persistent(this.counts, "counts"));
    this.finish = end.compile({ labels: ops.argmax(means) });
  }

  /** Adds the probabilities of a window whose first voxel is `corner`, at the slab's z. */
  async add(logits: Tensor, corner: Voxels): Promise<void> {
    this.offset.data.set([Math.max(corner[0], 0), Math.max(corner[1], 0), 0]);
    await this.accumulate.run({ logits, offset: this.offset });
  }

  /** Labels the slices before `z`, which no further window reaches, and moves the slab there. */
  async advance(z: number): Promise<void> {
    if (z === this.start) return;
    const { labels } = await this.finish.run();
    const [depth = 0, height = 0, width = 0] = this.result.shape;
    const [slices = 0, rows = 0, columns = 0] = labels.shape;
    // Halves of the padding, as windowCorners has them.
    const [top, left] = [Math.floor((rows - height) / 2), Math.floor((columns - width) / 2)];
    const done = Math.min(z - this.start, slices);
    for (let slice = 0; slice < done; slice++) {
      const to = this.start + slice;
      if (to < 0 || to >= depth) continue;
      for (let y = 0; y < height; y++) {
        const from = (slice * rows + top + y) * columns + left;
        this.result.u8.set(labels.u8.subarray(from, from + width), (to * height + y) * width);
      }
    }
    for (const tensor of [this.sums, this.counts]) {
      const plane = tensor.count / slices;
      tensor.f32.copyWithin(0, done * plane).fill(0, tensor.count - done * plane);
    }
    this.start = z;
  }

  [Symbol.dispose](): void {
    this.accumulate.dispose();
    this.finish.dispose();
    for (const tensor of [this.sums, this.counts, this.offset]) tensor.dispose();
  }
}
