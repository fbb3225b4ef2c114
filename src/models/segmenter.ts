import type { Value } from "../graph/graph.js";
import type { NetworkContext } from "../graph/layers.js";

/** Size of a segmenter. */
export interface SegmenterSize {
  /** Channels of the first level; doubled at each of the four further levels. The papers have 16. */
  filters: number;
  /** K, background included. */
  classes: number;
  /** Probability of dropping a channel in training; where, and which part of it, is the network's choice. */
  dropout: number;
}

/** A network that can be re-trained and kept. */
export interface SegmenterNetwork {
  /** Name in tables and messages. */
  title: string;
  /** What the longest side of a patch needs at least, voxels. */
  longestSide: number;
  /** State-dict names of its first weight and of its last one, which tell its files from others. */
  firstWeight: string;
  headWeight: string;
  /** x [N, D, H, W, channels], extents multiples of segmenterStride -> logits [N, D, H, W, K]. */
  build(ctx: NetworkContext, x: Value, size: SegmenterSize): Value;
  /** The same with its deep-supervision heads in use: logits [N, D, H, W, K] of each scale, the finest first. */
  buildScales(ctx: NetworkContext, x: Value, size: SegmenterSize): Value[];
}

/** Each extent of an input patch must be a multiple of this: four levels halve it. */
export const segmenterStride = 16;
