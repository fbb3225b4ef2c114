import type { Value } from "../graph/graph.js";
import {
  batchNormLayer,
  conv3dLayer,
  downConv3dLayer,
  type NetworkContext,
  pointConvLayer,
  upConv3dLayer,
} from "../graph/layers.js";
import * as ops from "../graph/ops.js";
import { fanInUniform, plainSpec, vectorSpec } from "../graph/weights.js";
import type { SegmenterSize } from "./segmenter.js";

/**
 * V-Net (Milletari et al. 2016) in the form that semi-supervised papers use: convolution + batch-norm + ReLU blocks,
 * skips by addition, channel dropout after the bottleneck and before the head. With 16 filters it has 9.45 M parameters.
 * State-dict names of the SFR authors; their three deep-supervision heads are kept in the file, unused.
 *
 * @param x [N, D, H, W, channels], extents multiples of 16
 * @returns logits [N, D, H, W, K]
 */
export function vnet(ctx: NetworkContext, x: Value, config: SegmenterSize): Value {
  return ctx.graph.within(ctx.weights.name, () => {
    const { finest } = decoded(ctx, x, config);
    keepUnusedHeads(ctx, config);
    return head(ctx, finest, config);
  });
}

/**
 * The same network with its three deep-supervision heads in use: on the decoder's maps of a half, a quarter and an eighth
 * of the resolution, each with a channel dropout of its own, resized to the input's grid (nearest).
 *
 * @returns logits [N, D, H, W, K] of each scale, the finest first
 */
export function vnetScales(ctx: NetworkContext, x: Value, config: SegmenterSize): Value[] {
  return ctx.graph.within(ctx.weights.name, () => {
    const { finest, coarser } = decoded(ctx, x, config);
    const logits = coarser.map((map, i) => {
      const dropped = drop(ctx, map, `head${i + 1}/dropout`, config);
      let y = pointConvLayer(ctx, dropped, `out_conv_dp${i + 1}`, config.classes, { axes: 3, bias: true });
      for (let doubling = 0; doubling <= i; doubling++) y = doubled(y);
      return y;
    });
    return [head(ctx, finest, config), ...logits];
  });
}

/** Each voxel eight times, as nearest interpolation to twice the extents. */
function doubled(x: Value): Value {
  return ops.depthToSpace(ops.concat(new Array<Value>(8).fill(x), 4), [2, 2, 2]);
}

function drop(ctx: NetworkContext, x: Value, name: string, { dropout }: SegmenterSize): Value {
  if (!ctx.training || ctx.rng === undefined || dropout === 0) return x;
  return ops.dropout(x, ctx.rng, dropout, true, name);
}

function head(ctx: NetworkContext, x: Value, config: SegmenterSize): Value {
  const dropped = drop(ctx, x, "head/dropout", config);
  return pointConvLayer(ctx, dropped, "out_conv", config.classes, { axes: 3, bias: true });
}

/** Maps of the decoder: at full resolution, and of a half, a quarter and an eighth of it. */
function decoded(ctx: NetworkContext, x: Value, config: SegmenterSize): { finest: Value; coarser: Value[] } {
  const f = config.filters;
  const block = (input: Value, name: string, convolutions: number, channels: number) => {
    let y = input;
    for (let i = 0; i < convolutions; i++) {
      y = conv3dLayer(ctx, y, `${name}.conv.${3 * i}`, channels, 3);
      y = ops.relu(batchNormLayer(ctx, y, `${name}.conv.${3 * i + 1}`));
    }
    return y;
  };
  const down = (input: Value, name: string, channels: number) =>
    ops.relu(batchNormLayer(ctx, downConv3dLayer(ctx, input, `${name}.conv.0`, channels), `${name}.conv.1`));
  const up = (input: Value, name: string, channels: number, skip: Value) =>
    ops.add(
      ops.relu(batchNormLayer(ctx, upConv3dLayer(ctx, input, `${name}.conv.0`, channels), `${name}.conv.1`)),
      skip,
    );
  const x1 = block(x, "block_one", 1, f);
  const x2 = block(down(x1, "block_one_dw", 2 * f), "block_two", 2, 2 * f);
  const x3 = block(down(x2, "block_two_dw", 4 * f), "block_three", 3, 4 * f);
  const x4 = block(down(x3, "block_three_dw", 8 * f), "block_four", 3, 8 * f);
  const x5 = block(down(x4, "block_four_dw", 16 * f), "block_five", 3, 16 * f);
  const bottleneck = drop(ctx, x5, "bottleneck/dropout", config);
  const x6 = block(up(bottleneck, "block_five_up", 8 * f, x4), "block_six", 3, 8 * f);
  const x7 = block(up(x6, "block_six_up", 4 * f, x3), "block_seven", 3, 4 * f);
  const x8 = block(up(x7, "block_seven_up", 2 * f, x2), "block_eight", 2, 2 * f);
  const finest = block(up(x8, "block_eight_up", f, x1), "block_nine", 1, f);
  return { finest, coarser: [x8, x7, x6] };
}

/** The deep-supervision heads where they are not computed: a file of the authors must load and one of ours must fit. */
function keepUnusedHeads(ctx: NetworkContext, config: SegmenterSize): void {
  for (const [i, factor] of [2, 4, 8].entries()) {
    const inputs = factor * config.filters;
    const shape = [config.classes, inputs, 1, 1, 1];
    ctx.weights.tensor(`out_conv_dp${i + 1}.weight`, plainSpec(shape, fanInUniform(inputs), "unused"));
    ctx.weights.tensor(
      `out_conv_dp${i + 1}.bias`,
      vectorSpec(config.classes, fanInUniform(inputs), "unused"),
    );
  }
}
