/**
 * One typed builder per op. The contract of each (formula, gradient, errors) stands in cpp/ops/<op>/<op>.h;
 * here are the shapes. Axis letters: N batch, D H W = z y x, C channels (last, fastest), B T C tokens, K classes.
 */
import { UsageError } from "../errors.js";
import type { Graph, Value } from "./graph.js";

function only(values: readonly Value[]): Value {
  const [value] = values;
  if (value === undefined || values.length !== 1)
    throw new UsageError(`graph: expected an op with one output, received ${values.length}`);
  return value;
}

function first(values: readonly Value[]): Value {
  const [value] = values;
  if (value === undefined) throw new UsageError("graph: expected an op with outputs, received none");
  return value;
}

function named<Name extends string>(values: readonly Value[], names: readonly Name[]): Record<Name, Value> {
  if (values.length !== names.length)
    throw new UsageError(`graph: expected an op with ${names.length} outputs, received ${values.length}`);
  return Object.fromEntries(names.map((name, i) => [name, values[i]])) as Record<Name, Value>;
}

// ---- elementwise and reductions

/** a + b; b has a's shape, a suffix of it, or is a scalar. */
export const add = (a: Value, b: Value): Value => only(a.graph.node("add", [a, b]));
/** a - b; shapes as in add. */
export const subtract = (a: Value, b: Value): Value => only(a.graph.node("subtract", [a, b]));
/** a * b; shapes as in add. */
export const multiply = (a: Value, b: Value): Value => only(a.graph.node("multiply", [a, b]));
/** a / b, IEEE; shapes as in add. */
export const divide = (a: Value, b: Value): Value => only(a.graph.node("divide", [a, b]));
/** factor * x + offset. */
export const affine = (x: Value, factor: number, offset = 0): Value =>
  only(x.graph.node("affine", [x], { factor, offset }));
/** Sum of all elements -> []. */
export const sum = (x: Value): Value => only(x.graph.node("sum", [x]));
/** Sum over the leading axes -> shape, a suffix of x's. */
export const sumTo = (x: Value, shape: readonly number[]): Value =>
  only(x.graph.node("sum_to", [x], { shape }));
/** x [..suffix] repeated over leading axes -> shape. */
export const broadcastTo = (x: Value, shape: readonly number[]): Value =>
  only(x.graph.node("broadcast_to", [x], { shape }));
/** x, through which no gradient flows. */
export const stopGradient = (x: Value): Value => only(x.graph.node("stop_gradient", [x]));
/** A constant f32 tensor. */
export const fill = (graph: Graph, shape: readonly number[], value: number): Value =>
  only(graph.node("fill", [], { shape, value }));
/** e^x. */
export const exp = (x: Value): Value => only(x.graph.node("exp", [x]));
/** Natural logarithm; -inf for 0, NaN below. */
export const log = (x: Value): Value => only(x.graph.node("log", [x]));
/** 1 where x >= threshold [], else 0; no gradient. */
export const atLeast = (x: Value, threshold: Value): Value => only(x.graph.node("at_least", [x, threshold]));
/** Largest of the last axis: [..,C] -> [..]; no gradient. */
export const rowMax = (x: Value): Value => only(x.graph.node("row_max", [x]));
/** 1 at the `count` lowest x among those whose mask (as x) is not 0, else 0; no gradient. */
export const lowest = (x: Value, mask: Value, count: number): Value =>
  only(x.graph.node("lowest", [x, mask], { count }));
/** Sum over the last axis of a * b: [..,C] and [..,C] -> [..]. */
export const dotRows = (a: Value, b: Value): Value => only(a.graph.node("dot_rows", [a, b]));
/** x [..,C] times factor [..]. */
export const scaleRows = (x: Value, factor: Value): Value => only(x.graph.node("scale_rows", [x, factor]));
export const relu = (x: Value): Value => only(x.graph.node("relu", [x]));
/** 1 / (1 + e^-x). */
export const sigmoid = (x: Value): Value => only(x.graph.node("sigmoid", [x]));
export const tanh = (x: Value): Value => only(x.graph.node("tanh", [x]));
/** x * Phi(x), the erf form. */
export const gelu = (x: Value): Value => only(x.graph.node("gelu", [x]));

// ---- shapes

/** The same elements under another shape of equal count; costs nothing. */
export const reshape = (x: Value, shape: readonly number[]): Value =>
  only(x.graph.node("reshape", [x], { shape }));
/** Joins along `axis`. */
export const concat = (inputs: readonly Value[], axis: number): Value => {
  const [head] = inputs;
  if (head === undefined) throw new UsageError("concat: expected at least one value, received none");
  return only(head.graph.node("concat", inputs, { axis }));
};
/** Elements [begin, end) along `axis`. */
export const slice = (x: Value, axis: number, begin: number, end: number): Value =>
  only(x.graph.node("slice", [x], { axis, begin, end }));
/** [N,D,H,W,C] -> [N,D/bd,H/bh,W/bw,bd*bh*bw*C]. */
export const spaceToDepth = (x: Value, block: readonly [number, number, number]): Value =>
  only(x.graph.node("space_to_depth", [x], { block }));
/** [N,D,H,W,bd*bh*bw*C] -> [N,D*bd,H*bh,W*bw,C] (+ bias [C]). */
export const depthToSpace = (x: Value, block: readonly [number, number, number], bias?: Value): Value =>
  only(x.graph.node("depth_to_space", [x, bias], { block }));

// ---- layers

/** x [..,Cin], weight [Cin,Cout], bias [Cout] -> [..,Cout]. */
export const linear = (x: Value, weight: Value, bias?: Value): Value =>
  only(x.graph.node("linear", [x, weight, bias]));
/** A low-rank update x a b, a [Cin,r], b [r,width], of output channels [begin, begin + width). */
export interface LowRankUpdate {
  a: Value;
  b: Value;
  begin: number;
}

/** linear() plus low-rank updates, whose ranges of channels rise and do not overlap. */
export const linearLora = (
  x: Value,
  weight: Value,
  bias: Value | undefined,
  updates: readonly LowRankUpdate[],
): Value =>
  first(
    x.graph.node("linear_lora", [x, weight, bias, ...updates.flatMap(({ a, b }) => [a, b])], {
      begins: updates.map(({ begin }) => begin),
    }),
  );
/** Batched product of a [B,M,K] (or [B,K,M]) and b [B,K,N] (or [B,N,K]) -> [B,M,N]. */
export const matmul = (a: Value, b: Value, transpose: { a?: boolean; b?: boolean } = {}): Value =>
  only(
    a.graph.node("matmul", [a, b], { transposeA: transpose.a ?? false, transposeB: transpose.b ?? false }),
  );
/** x [N,D,H,W,Cin], weight [kd,kh,kw,Cin,Cout] (odd kernel, stride 1, zero padding), bias -> [N,D,H,W,Cout]. */
export const conv3d = (x: Value, weight: Value, bias?: Value): Value =>
  only(x.graph.node("conv3d", [x, weight, bias]));
/**
 * Convolution whose kernel and stride are `block` [bd, bh, bw]: x [N,D,H,W,C], weight [bd*bh*bw*C, out], bias [out] ->
 * [N,D/bd,H/bh,W/bw,out].
 */
export const stridedConv3d = (
  x: Value,
  weight: Value,
  block: readonly [number, number, number],
  bias?: Value,
): Value => only(x.graph.node("strided_conv3d", [x, weight, bias], { block }));
/** Its transpose: x [N,D,H,W,in], weight [in, bd*bh*bw*C], bias [C] -> [N,D*bd,H*bh,W*bw,C]. */
export const transposedConv3d = (
  x: Value,
  weight: Value,
  block: readonly [number, number, number],
  bias?: Value,
): Value => only(x.graph.node("transposed_conv3d", [x, weight, bias], { block }));

/** Learned scale and shift [C] and running statistics [C] of a batch-norm. */
export interface BatchNormState {
  weight: Value;
  bias: Value;
  runningMean: Value;
  runningVariance: Value;
}

/**
 * Batch-norm over all axes but the last. `training` normalises with the batch's statistics, else with the running
 * ones; `updateStatistics` moves the running ones (momentum 0.1) at the end of the step.
 */
export function batchNorm(
  x: Value,
  state: BatchNormState,
  options: { training: boolean; updateStatistics: boolean; epsilon?: number },
): Value {
  // Where they are not read, further passes of a network do not wait for the statistics of the first to be moved.
  const running = options.training ? [undefined, undefined] : [state.runningMean, state.runningVariance];
  const [y, mean, variance] = x.graph.node("batch_norm", [x, state.weight, state.bias, ...running], {
    training: options.training,
    epsilon: options.epsilon ?? 1e-5,
  });
  if (y === undefined || mean === undefined || variance === undefined)
    throw new UsageError("batch_norm: expected three outputs");
  if (options.training && options.updateStatistics) {
    const count = x.shape.reduce((product, extent) => product * extent, 1) / x.dim(-1);
    x.graph.node("batch_norm_update", [state.runningMean, state.runningVariance, mean, variance], {
      momentum: 0.1,
      count,
    });
  }
  return y;
}

/** Instance-norm of x [N,..,C]: every channel of a sample to mean 0 and variance 1; no learned parameters. */
export const instanceNorm = (x: Value, epsilon = 1e-5): Value =>
  first(x.graph.node("instance_norm", [x], { epsilon }));

/** Largest of 2x2x2 blocks: [N,D,H,W,C] -> [N,D/2,H/2,W/2,C]. */
export const maxPool3d = (x: Value): Value => only(x.graph.node("max_pool3d", [x]));

/** Normalises the last axis, then weight [C] and bias [C]. */
export const layerNorm = (x: Value, weight: Value, bias: Value, epsilon: number): Value =>
  first(x.graph.node("layer_norm", [x, weight, bias], { epsilon }));

/** Softmax over the last axis. */
export const softmax = (x: Value): Value => only(x.graph.node("softmax", [x]));

/** Tables [2*Gh-1, d], [2*Gw-1, d] of decomposed relative position on a grid or window [Gh, Gw]. */
export interface RelativePosition {
  height: Value;
  width: Value;
}

/** q [B,Tq,C], k [B,Tk,C], v [B,Tk,C] -> [B,Tq,C]; no score matrix in memory. */
export const attention = (q: Value, k: Value, v: Value, heads: number): Value =>
  first(q.graph.node("attention", [q, k, v], { heads }));

/**
 * Self-attention on a grid with decomposed relative position, in windows of `window` x `window` tokens or, with 0, over
 * the whole grid: qkv [N,H,W,3C] -> [N,H,W,C]. `padding` [3C] stands for tokens beyond the edge.
 */
export const gridAttention = (
  qkv: Value,
  padding: Value,
  relative: RelativePosition,
  settings: { heads: number; window: number },
): Value =>
  first(qkv.graph.node("grid_attention", [qkv, padding, relative.height, relative.width], settings));

/** [N,H,W,C] -> [N,...size,C], half-pixel centres (align_corners = false). */
export const resizeBilinear = (x: Value, size: readonly [number, number]): Value =>
  only(x.graph.node("resize_bilinear", [x], { size }));

/** [N,D,H,W,C] -> [N,...size,C], half-pixel centres (align_corners = false): depth first, then rows and columns. */
export function resizeTrilinear(x: Value, size: readonly [number, number, number]): Value {
  const [n, d, h, w, c] = [x.dim(0), x.dim(1), x.dim(2), x.dim(3), x.dim(4)];
  const [depth, height, width] = size;
  const planes = resizeBilinear(reshape(x, [n, d, h * w, c]), [depth, h * w]);
  const slices = resizeBilinear(reshape(planes, [n * depth, h, w, c]), [height, width]);
  return reshape(slices, [n, depth, height, width, c]);
}

/** Random-Fourier encoding of a grid [H, W] with a matrix [2, F] -> [H, W, 2F]; no gradient. */
export const fourierPositions = (matrix: Value, size: readonly [number, number]): Value =>
  only(matrix.graph.node("fourier_positions", [matrix], { size }));

// ---- random numbers; `rng` is i32 [3] = (low word of seed, high word of seed, step)

/**
 * Zeroes with probability `rate` and scales the rest by 1/(1-rate); whole channels of [N,...,C] when `channels`.
 * The stream's name is the node's path, so the mask depends on (seed, step, name) alone.
 */
export const dropout = (x: Value, rng: Value, rate: number, channels: boolean, name: string): Value =>
  only(x.graph.node("dropout", [x, rng], { rate, channels, stream: x.graph.path(name) }, name));
/** clip(scale * N(0,1), +-limit), f32. */
export const gaussianNoise = (
  rng: Value,
  shape: readonly number[],
  scale: number,
  limit: number,
  name: string,
): Value =>
  only(rng.graph.node("gaussian_noise", [rng], { shape, scale, limit, stream: rng.graph.path(name) }, name));

/** scale * U[-1, 1), f32. */
export const uniformNoise = (rng: Value, shape: readonly number[], scale: number, name: string): Value =>
  only(rng.graph.node("uniform_noise", [rng], { shape, scale, stream: rng.graph.path(name) }, name));

/**
 * Cubes of `side` voxels exchanged between the samples of x [N,D,H,W,C], each at its place: an order of the samples for
 * each place, drawn from the stream `name`; `undo` puts them back.
 */
export const mixCubes = (x: Value, rng: Value, side: number, name: string, undo = false): Value =>
  only(x.graph.node("mix_cubes", [x, rng], { side, stream: x.graph.path(name), undo }, name));

/**
 * Ones [D,H,W] with zeros in a box of extents `box` at a random place, drawn from the stream `name`: the box begins
 * uniformly at 0 .. extent - box - 1 of each axis.
 */
export const boxMask = (rng: Value, shape: readonly number[], box: readonly number[], name: string): Value =>
  only(rng.graph.node("box_mask", [rng], { shape, box, stream: rng.graph.path(name) }, name));

// ---- losses

/**
 * logits [..,K], labels u8 [..] with 255 ignored -> cross-entropy [] and Dice loss []. Logits [N,h,w,K] of labels
 * [N,H,W] are resized as by resizeBilinear, without being stored at that size.
 */
export function segmentationLoss(
  logits: Value,
  labels: Value,
  smooth = 1e-10,
): { crossEntropy: Value; dice: Value } {
  const [crossEntropy, dice] = logits.graph.node("segmentation_loss", [logits, labels], { smooth });
  if (crossEntropy === undefined || dice === undefined)
    throw new UsageError("segmentation_loss: expected two outputs");
  return { crossEntropy, dice };
}
/** Mean of (a - b)^2 -> []. */
export const meanSquaredError = (a: Value, b: Value): Value =>
  only(a.graph.node("mean_squared_error", [a, b]));
/** Largest of the last axis: [..,K] -> u8 [..]. */
export const argmax = (x: Value): Value => only(x.graph.node("argmax", [x]));

/** Labels u8 [..] -> f32 [..,K]; zeros where ignored (255). */
export const oneHot = (labels: Value, classes: number): Value =>
  only(labels.graph.node("one_hot", [labels], { classes }));
/** Labels a where mask [suffix of a] is not 0, else b; without b ignored there (255). */
export const selectLabels = (a: Value, mask: Value, b?: Value): Value =>
  only(a.graph.node("select_labels", [a, b, mask]));
/** Labels u8 [..] that are likely wrong by the probabilities [..,K] of another network: 1, else 0, f32 [..]. */
export const labelNoise = (labels: Value, probabilities: Value): Value =>
  only(labels.graph.node("label_noise", [labels, probabilities]));
/** Normalised signed distance maps of the classes but 0, negative inside: u8 [N,D,H,W] -> f32 [N,D,H,W,K-1]. */
export const signedDistance = (labels: Value, classes: number): Value =>
  only(labels.graph.node("signed_distance", [labels], { classes }));
/** Of each class but 0 the largest 26-connected component of each sample: u8 [N,D,H,W] -> [N,D,H,W]. */
export const largestComponent = (labels: Value): Value =>
  only(labels.graph.node("largest_component", [labels]));
/** 26-connected components of a class but 0 with fewer than `voxels` voxels become 0: u8 [N,D,H,W] -> [N,D,H,W]. */
export const dropSmallComponents = (labels: Value, voxels: number): Value =>
  only(labels.graph.node("drop_small_components", [labels], { voxels }));
/** 6-connected holes that one class alone encloses become that class: u8 [N,D,H,W] -> [N,D,H,W]. */
export const fillHoles = (labels: Value): Value => only(labels.graph.node("fill_holes", [labels]));

// ---- state updates; they run at the end of the step and have no value

/** Parameter and its gradient with what the optimiser keeps for it. */
export interface SgdSlot {
  parameter: Value;
  gradient: Value;
  momentum: Value;
}

/** g += decay*p; v = momentum*v + g; p -= lr*v (torch.optim.SGD). */
export function sgd(
  learningRate: Value,
  slots: readonly SgdSlot[],
  settings: { momentum: number; weightDecay: number },
): void {
  const inputs = slots.flatMap((slot) => [slot.parameter, slot.gradient, slot.momentum]);
  learningRate.graph.node("sgd", [learningRate, ...inputs], settings, "sgd");
}

export interface AdamWSlot {
  parameter: Value;
  gradient: Value;
  first: Value;
  second: Value;
}

/** torch.optim.AdamW; `step` counts from 1. */
export function adamw(
  learningRate: Value,
  step: Value,
  slots: readonly AdamWSlot[],
  settings: { beta1: number; beta2: number; epsilon: number; weightDecay: number },
): void {
  const inputs = slots.flatMap((slot) => [slot.parameter, slot.gradient, slot.first, slot.second]);
  learningRate.graph.node("adamw", [learningRate, step, ...inputs], settings, "adamw");
}

/** teacher = alpha * teacher + (1 - alpha) * student for each pair. */
export function ema(alpha: Value, pairs: readonly { teacher: Value; student: Value }[]): void {
  alpha.graph.node("ema", [alpha, ...pairs.flatMap((pair) => [pair.teacher, pair.student])], {}, "ema");
}

// ---- data preparation; no gradient unless the contract says so

/** (x - mean) / std over the whole tensor. */
export const standardize = (x: Value): Value => only(x.graph.node("standardize", [x]));
/** f32 [D,H,W] -> mean of 2x2x2 blocks; an odd remainder is dropped. */
export const downsampleMean = (x: Value): Value => only(x.graph.node("downsample_mean", [x]));
/** u8 [D,H,W] -> majority of 2x2x2 blocks; ties go to the smaller id. */
export const downsampleMajority = (x: Value): Value => only(x.graph.node("downsample_majority", [x]));
/**
 * Rotation by k*90 degrees in the x-y plane, flip (0 none, 1 of x, 2 of y), zero padding, crop.
 * x [D,H,W], parameters i32 [5] = (x0, y0, z0, k, flip) -> size [d,h,w].
 */
export const cropRotFlip = (x: Value, parameters: Value, size: readonly [number, number, number]): Value =>
  only(x.graph.node("crop_rot_flip", [x, parameters], { size }));
/** Whole canvases [N,S,S] rotated and flipped; parameters i32 [N,2] = (k, flip). */
export const rotFlipCanvas = (x: Value, parameters: Value): Value =>
  only(x.graph.node("rot_flip_canvas", [x, parameters]));
/** Bezier intensity map of slices: x [D,H,W], points f32 [D,4], apply i32 [D]. */
export const intensityMap = (x: Value, points: Value, apply: Value): Value =>
  only(x.graph.node("intensity_map", [x, points, apply]));

/** Numbers of a stitching geometry that the gathers need (src/stitch/geometry.ts). */
export interface StitchNumbers {
  canvas: number;
  canvases: number;
  slices: number;
  sliceHeight: number;
  sliceWidth: number;
  rows: number;
  cols: number;
  tileHeight: number;
  tileWidth: number;
  originY: number;
  originX: number;
  frontSlices: number;
}

/** [N,D,H,W] -> canvases [N*canvases,S,S]; gaps get `fill`. */
export const stitch = (x: Value, geometry: StitchNumbers, fillValue: number): Value =>
  only(x.graph.node("stitch", [x], { ...stitchAttributes(geometry), fill: fillValue }));
/** Canvases [N*canvases,S,S] or [..,K] -> [N,D,H,W] or [..,K]. */
export const unstitch = (canvases: Value, geometry: StitchNumbers): Value =>
  only(canvases.graph.node("unstitch", [canvases], stitchAttributes(geometry)));

function stitchAttributes(g: StitchNumbers): Record<string, number> {
  const { canvas, canvases, slices, sliceHeight, sliceWidth, rows, cols } = g;
  const { tileHeight, tileWidth, originY, originX, frontSlices } = g;
  return {
    canvas,
    canvases,
    slices,
    sliceHeight,
    sliceWidth,
    rows,
    cols,
    tileHeight,
    tileWidth,
    originY,
    originX,
    frontSlices,
  };
}

// ---- prediction and metrics

/**
 * sums [D,H,W,K] += w softmax(logits [d,h,w,K]) and counts [D,H,W] += w at offset i32 [3] = (x, y, z); weights w [d,h,w],
 * default 1.
 *
 * @param mirror axes along which the network has seen the window mirrored: the sum of 1 (x), 2 (y), 4 (z)
 */
export function windowAccumulate(
  sums: Value,
  counts: Value,
  logits: Value,
  offset: Value,
  { weights, mirror = 0 }: { weights?: Value | undefined; mirror?: number } = {},
): void {
  sums.graph.node("window_accumulate", [sums, counts, logits, offset, weights], { mirror });
}
/** sums [D,H,W,K] / counts [D,H,W]. */
export const windowMean = (sums: Value, counts: Value): Value =>
  only(sums.graph.node("window_mean", [sums, counts]));
/** Confusion matrix i32 [K,K] of two u8 label volumes; rows are the reference. */
export const overlapCounts = (prediction: Value, reference: Value, classes: number): Value =>
  only(prediction.graph.node("overlap_counts", [prediction, reference], { classes }));
/**
 * i32 [K-1,8] by class 1..K-1 of u8 [D,H,W]: the box of its voxels, first (z, y, x) and extents, its border voxels (one of
 * six neighbours is outside) and its surface cells (of their eight voxels some are outside). 0 where it has no voxel.
 */
export const classSurfaces = (labels: Value, classes: number): Value =>
  only(labels.graph.node("class_surfaces", [labels], { classes }));
/** A class in two volumes, and the box (z, y, x) that holds all its voxels in both. */
export interface SurfacePair {
  readonly label: number;
  readonly begin: readonly number[];
  readonly extents: readonly number[];
  /** (x, y, z). */
  readonly spacing: readonly number[];
  /** What `classSurfaces` counts: border voxels of a and b, cells of a and b. */
  readonly counts: readonly number[];
}
/**
 * How far the surface elements of a class are from those of the other volume, f32 in the order they lie in memory, and
 * what the cells hold: voxel i of the eight in bit i (x fastest), u8.
 */
export const surfaceDistances = (a: Value, b: Value, pair: SurfacePair) =>
  named(a.graph.node("surface_distances", [a, b], { ...pair }), [
    "borderOfA",
    "borderOfB",
    "cellsOfA",
    "cellsOfB",
    "codesOfA",
    "codesOfB",
  ]);
