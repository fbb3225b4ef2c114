/** Builders of what networks are made of. */
import { UsageError } from "../../errors.js";
import type { Value } from "../graph.js";
import { first, only } from "./outputs.js";
import { reshape } from "./tensors.js";

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
