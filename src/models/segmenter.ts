import type { Value } from "../graph/graph.js";
import type { NetworkContext } from "../graph/layers.js";
import * as ops from "../graph/ops.js";
import type { WeightSet } from "../graph/weights.js";

/** Size of a segmenter. */
export interface SegmenterSize {
  /** Channels of the first level; doubled at each of the four further levels. The papers have 16. */
  filters: number;
  /** K, background included. */
  classes: number;
  /** Probability of dropping a channel in training; where, and which part of it, is the network's choice. */
  dropout: number;
}

/** Maps [N, D, H, W, channels] of an encoder: at the input's resolution, a half, .., a sixteenth of it. */
export type EncoderMaps = readonly [Value, Value, Value, Value, Value];
/** Maps of a decoder: what the head reads, at the input's resolution, then those of a half, a quarter and an eighth. */
export type DecoderMaps = readonly [Value, Value, Value, Value];

/**
 * A network that can be re-trained and kept, in parts: a method may perturb what passes from one to the next, read a map,
 * or put a head of its own on it.
 */
export interface SegmenterNetwork {
  /** Name in tables and messages. */
  title: string;
  /** What the longest side of a patch needs at least, voxels. */
  longestSide: number;
  /** State-dict names of its first weight and of its last one, which tell its files from others. */
  firstWeight: string;
  headWeight: string;
  /** x [N, D, H, W, channels], extents multiples of 16. */
  encode(ctx: NetworkContext, x: Value, size: SegmenterSize): EncoderMaps;
  decode(ctx: NetworkContext, encoded: EncoderMaps, size: SegmenterSize): DecoderMaps;
  /** The first map of decode -> logits [N, D, H, W, K]. */
  head(ctx: NetworkContext, map: Value, size: SegmenterSize): Value;
  /** Deep supervision of map `scale` of decode, 1 to 3 -> logits [N, D, H, W, K] at x's resolution; absent: it has none. */
  coarseHead?(ctx: NetworkContext, map: Value, scale: number, size: SegmenterSize): Value;
  /** Makes the tensors that the authors' files have and no pass of this network has asked for. */
  completeFile?(weights: WeightSet, size: SegmenterSize): void;
}

/** Gives the nodes and random streams of a part of a network the name of its weights. */
export function within<T>(ctx: NetworkContext, part: () => T): T {
  return ctx.graph.within(ctx.weights.name, part);
}

/** Logits [N, D, H, W, K] of x [N, D, H, W, channels] of any extents. */
export function segment(
  network: SegmenterNetwork,
  ctx: NetworkContext,
  x: Value,
  size: SegmenterSize,
): Value {
  const [finest] = network.decode(ctx, network.encode(ctx, padded(x), size), size);
  return network.head(ctx, unpadded(finest, x.shape), size);
}

/** Each extent of a network's input is a multiple of this: four levels halve it. */
const segmenterStride = 16;

/** What an extent has after padding, voxels. */
export const paddedExtent = (extent: number): number => segmenterStride * Math.ceil(extent / segmenterStride);

/** x [N, D, H, W, C] with zeros, the mean of a volume, behind its last voxels: extents multiples of 16. */
export function padded(x: Value): Value {
  return [1, 2, 3].reduce((y, axis) => {
    const missing = paddedExtent(y.dim(axis)) - y.dim(axis);
    // Made of x, as the batch of an exported network has no fixed size.
    const zeros = () => ops.affine(ops.slice(y, axis, 0, 1), 0);
    return missing === 0 ? y : ops.concat([y, ...new Array<Value>(missing).fill(zeros())], axis);
  }, x);
}

/** The voxels of a map [N, D, H, W, C] that padded(x) has from x, by x's shape [N, D, H, W, ..]. */
export function unpadded(map: Value, shape: readonly number[]): Value {
  return [1, 2, 3].reduce((y, axis) => {
    const extent = shape[axis] ?? y.dim(axis);
    return y.dim(axis) === extent ? y : ops.slice(y, axis, 0, extent);
  }, map);
}
