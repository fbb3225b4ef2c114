import type { Voxels } from "../config/schema.js";
import { Cropper } from "../data/augment.js";
import { type CaseGeometry, isWhole } from "../data/case-geometry.js";
import { DataError } from "../errors.js";
import { Tensor } from "../native/tensor.js";
import { RestoringSink } from "./restoring-sink.js";
import { type KeptMaps, type RowSink, VolumeLabels } from "./volume-labels.js";
import type { WindowModel } from "./window-model.js";
import { WindowSlab } from "./window-slab.js";
import { type Corner, checkStride, gaussianWeights, windowCorners } from "./windows.js";

/** What of a network is needed here. */
type SlidingModel = Pick<WindowModel, "channels" | "classes" | "patch" | "usualStride" | "logits">;

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

/** A volume whose windows are all added. */
export interface SummedWindows {
  /** Labels its last slices and gives the memory of the sums free; to be called once. */
  finish(): Promise<VolumeLabels>;
}

/**
 * Labels of a whole volume: softmax of every window is summed and divided by the number of windows, then argmax
 * (test_single_case of the semi-supervised papers). Windows go from low to high z, and probabilities are kept of as many
 * slices as a patch has: a volume of more slices needs no more memory for them.
 *
 * @param image f32 [D, H, W], z-scored; of several channels one for each
 * @throws DataError when the network takes another number of channels; UsageError when the stride is larger than the patch
 */
export async function slidingWindow(
  image: Tensor | readonly Tensor[],
  model: SlidingModel,
  options: SlidingWindowOptions = {},
): Promise<VolumeLabels> {
  const windows = await runWindows(image, model, options);
  return windows.finish();
}

/**
 * slidingWindow() without its end, which the network is not needed for: another volume's windows may run meanwhile.
 *
 * @throws what slidingWindow() throws
 */
export async function runWindows(
  image: Tensor | readonly Tensor[],
  model: SlidingModel,
  options: SlidingWindowOptions = {},
): Promise<SummedWindows> {
  const { patch } = model;
  const stride = options.stride ?? model.usualStride;
  checkStride(patch, stride);
  const channels = image instanceof Tensor ? [image] : image;
  if (channels.length !== model.channels)
    throw new DataError(
      `image: expected ${model.channels} channels as the network was trained on, received ${channels.length}; ` +
        "give volumes with the channels of the training",
    );
  const shape = channels[0]?.shape ?? [];
  const [depth = 0, height = 0, width = 0] = shape;
  const [px, py, pz] = patch;
  using cropper = new Cropper(patch);
  using crop = Tensor.zeros("f32", [1, pz, py, px, ...(channels.length > 1 ? [channels.length] : [])]);
  using weights =
    options.weighting === "gaussian" ? Tensor.from("f32", [pz, py, px], gaussianWeights(patch)) : undefined;
  const corners = windowCorners([width, height, depth], patch, stride);
  const { result, sink } = resultOf([depth, height, width], model.classes, options);
  const take = async (corner: Corner | undefined) => {
    if (corner !== undefined) await cropper.channelsInto(crop, 0, channels, { corner, turns: 0, flip: 0 });
  };
  const slab = new WindowSlab(sink, patch, corners[0]?.[2] ?? 0, weights);
  const finish = async () => {
    using _ = slab;
    await slab.advance(depth);
    return result;
  };
  try {
    await take(corners[0]);
    for (const [i, corner] of corners.entries()) {
      // Begun first, so that the slices that are done are copied while the network works.
      const advanced = slab.advance(corner[2]);
      const running = model.logits(crop, options.signal);
      if (i === 0) options.onBegin?.();
      const [logits] = await Promise.all([running, advanced]);
      let adding = slab.add(logits, corner);
      for (let mirror = 1; options.mirror && mirror < 8; mirror++) {
        // Each image is made from the one before, by the axes in which they differ.
        flip(crop.f32, patch, channels.length, mirror ^ (mirror - 1));
        await adding;
        adding = slab.add(await model.logits(crop, options.signal), corner, mirror);
      }
      await Promise.all([adding, take(corners[i + 1])]);
      options.onWindow?.(i + 1, corners.length);
    }
    return { finish };
  } catch (error) {
    slab[Symbol.dispose]();
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

/** Mirrors a window [z][y][x][channel] in place along axes: the sum of 1 (x), 2 (y), 4 (z). */
function flip(values: Float32Array, [px, py, pz]: Voxels, channels: number, axes: number): void {
  const before = values.slice();
  const row = px * channels;
  for (let z = 0; z < pz; z++) {
    for (let y = 0; y < py; y++) {
      const from = ((axes & 4 ? pz - 1 - z : z) * py + (axes & 2 ? py - 1 - y : y)) * row;
      const to = (z * py + y) * row;
      values.set(before.subarray(from, from + row), to);
      if (axes & 1) reverseVoxels(values.subarray(to, to + row), channels);
    }
  }
}

/** Reverses the order of voxels; the channels of each stay in theirs. */
function reverseVoxels(row: Float32Array, channels: number): void {
  row.reverse();
  for (let at = 0; channels > 1 && at < row.length; at += channels) row.subarray(at, at + channels).reverse();
}
