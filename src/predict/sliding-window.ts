import type { Voxels } from "../config/schema.js";
import { Cropper } from "../data/augment.js";
import { Graph } from "../graph/graph.js";
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
 * (test_single_case of the semi-supervised papers).
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
  const { classes, patch, stride } = options;
  checkStride(patch, stride);
  const [depth = 0, height = 0, width = 0] = image.shape;
  const [px, py, pz] = patch;
  using cropper = new Cropper(patch);
  using crop = Tensor.zeros("f32", [1, pz, py, px]);
  using offset = Tensor.zeros("i32", [3]);
  // Sums cover the padded volume, so that every window lies inside.
  const extents: Voxels = [Math.max(width, px), Math.max(height, py), Math.max(depth, pz)];
  using sums = Tensor.zeros("f32", [extents[2], extents[1], extents[0], classes]);
  using counts = Tensor.zeros("f32", [extents[2], extents[1], extents[0]]);
  using accumulate = accumulateProgram(sums, counts, patch);
  const corners = windowCorners([width, height, depth], patch, stride);
  for (const [i, corner] of corners.entries()) {
    await cropper.into(crop, 0, image, { corner, turns: 0, flip: 0 });
    const logits = await model(crop, options.signal);
    offset.data.set(corner.map((start) => Math.max(start, 0)));
    await accumulate.run({ logits, offset }, options.signal);
    options.onWindow?.(i + 1, corners.length);
  }
  const graph = new Graph();
  const means = ops.windowMean(graph.persistent(sums, "sums"), graph.persistent(counts, "counts"));
  using finish = graph.compile({ labels: ops.argmax(means) });
  const { labels } = await finish.run();
  const corner = corners[0] ?? [0, 0, 0];
  const result = Tensor.zeros("u8", image.shape);
  using unpad = new Cropper([width, height, depth]);
  const back: [number, number, number] = [
    Math.max(-corner[0], 0),
    Math.max(-corner[1], 0),
    Math.max(-corner[2], 0),
  ];
  await unpad.into(result, 0, labels, { corner: back, turns: 0, flip: 0 });
  return result;
}

function accumulateProgram(sums: Tensor, counts: Tensor, patch: Voxels) {
  const graph = new Graph();
  const classes = sums.shape[3] ?? 0;
  const logits = graph.input("logits", "f32", [1, patch[2], patch[1], patch[0], classes]);
  ops.windowAccumulate(
    graph.persistent(sums, "sums"),
    graph.persistent(counts, "counts"),
    logits,
    graph.input("offset", "i32", [3]),
  );
  return graph.compile({});
}
