import type { Voxels } from "../config/schema.js";
import { Cropper } from "../data/augment.js";
import { type CaseGeometry, isWhole } from "../data/case-geometry.js";
import { Tensor } from "../native/tensor.js";
import { RestoringSink } from "./restoring-sink.js";
import { type KeptMaps, type RowSink, VolumeLabels } from "./volume-labels.js";
import type { WindowModel } from "./window-model.js";
import { WindowSlab } from "./window-slab.js";
import { checkStride, gaussianWeights, windowCorners } from "./windows.js";

export interface SlidingWindowOptions {
  /** Step between windows, voxels (x, y, z); null or absent: the model's usual one. */
  stride?: Voxels | null;
  /** How much a voxel of a window counts: all alike (default), or more near the middle. */
  weighting?: "uniform" | "gaussian";
  /** Average over the eight mirror images of every window. */
  mirror?: boolean;
  /** Default: none. */
  maps?: KeptMaps;
  /** How the image was made: labels and maps are brought back to the grid of its results (resultGrid). */
  geometry?: CaseGeometry;
  signal?: AbortSignal | undefined;
  /** Called once, when the network works on the first window. */
  onBegin?(): void;
  onWindow?(done: number, total: number): void;
}

/**
 * Labels of a whole volume: softmax of every window is summed and divided by the number of windows, then argmax
 * (test_single_case of the semi-supervised papers). Windows go from low to high z, and probabilities are kept of as many
 * slices as a patch has: a volume of more slices needs no more memory for them.
 *
 * @param image f32 [D, H, W], z-scored
 * @throws UsageError when the stride is larger than the patch
 */
export async function slidingWindow(
  image: Tensor,
  model: Pick<WindowModel, "classes" | "patch" | "usualStride" | "logits">,
  options: SlidingWindowOptions = {},
): Promise<VolumeLabels> {
  const { patch } = model;
  const stride = options.stride ?? model.usualStride;
  checkStride(patch, stride);
  const [depth = 0, height = 0, width = 0] = image.shape;
  const [px, py, pz] = patch;
  using cropper = new Cropper(patch);
  using crop = Tensor.zeros("f32", [1, pz, py, px]);
  using weights =
    options.weighting === "gaussian" ? Tensor.from("f32", [pz, py, px], gaussianWeights(patch)) : undefined;
  const corners = windowCorners([width, height, depth], patch, stride);
  const { result, sink } = resultOf([depth, height, width], model.classes, options);
  try {
    using slab = new WindowSlab(sink, patch, corners[0]?.[2] ?? 0, weights);
    for (const [i, corner] of corners.entries()) {
      await cropper.into(crop, 0, image, { corner, turns: 0, flip: 0 });
      // Begun first, so that the slices that are done are copied while the network works.
      const advanced = slab.advance(corner[2]);
      const running = model.logits(crop, options.signal);
      if (i === 0) options.onBegin?.();
      const [logits] = await Promise.all([running, advanced]);
      await slab.add(logits, corner);
      for (let mirror = 1; options.mirror && mirror < 8; mirror++) {
        // Each image is made from the one before, by the axes in which they differ.
        flip(crop.f32, patch, mirror ^ (mirror - 1));
        await slab.add(await model.logits(crop, options.signal), corner, mirror);
      }
      options.onWindow?.(i + 1, corners.length);
    }
    await slab.advance(depth);
    return result;
  } catch (error) {
    result.dispose();
    throw error;
  }
}

/** What is made of a volume, and what takes it as it comes. @param shape [D, H, W] */
function resultOf(
  shape: RowSink["shape"],
  classes: number,
  { geometry, maps = "none" }: SlidingWindowOptions,
): { result: VolumeLabels; sink: RowSink } {
  if (geometry?.restores === true && !isWhole(geometry)) {
    const restoring = new RestoringSink(geometry, classes, maps);
    return { result: restoring.result, sink: restoring };
  }
  const result = new VolumeLabels(shape, classes, maps);
  return { result, sink: result };
}

/** Mirrors a window [z][y][x] in place along axes: the sum of 1 (x), 2 (y), 4 (z). */
function flip(values: Float32Array, [px, py, pz]: Voxels, axes: number): void {
  const before = values.slice();
  for (let z = 0; z < pz; z++) {
    for (let y = 0; y < py; y++) {
      const from = ((axes & 4 ? pz - 1 - z : z) * py + (axes & 2 ? py - 1 - y : y)) * px;
      const to = (z * py + y) * px;
      values.set(before.subarray(from, from + px), to);
      if (axes & 1) values.subarray(to, to + px).reverse();
    }
  }
}
