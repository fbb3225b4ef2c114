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
 * State-dict names of the SFR authors, their three unused deep-supervision heads kept in the file.
 *
 * @param x [N, D, H, W, channels], extents multiples of 16
 * @returns logits [N, D, H, W, K]
 */
export function vnet(ctx: NetworkContext, x: Value, config: SegmenterSize): Value {
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
  const drop = (input: Value, name: string) =>
    ctx.training && ctx.rng !== undefined && config.dropout > 0
      ? ops.dropout(input, ctx.rng, config.dropout, true, name)
      : input;

  return ctx.graph.within(ctx.weights.name, () => {
    const x1 = block(x, "block_one", 1, f);
    const x2 = block(down(x1, "block_one_dw", 2 * f), "block_two", 2, 2 * f);
    const x3 = block(down(x2, "block_two_dw", 4 * f), "block_three", 3, 4 * f);
    const x4 = block(down(x3, "block_three_dw", 8 * f), "block_four", 3, 8 * f);
    const x5 = block(down(x4, "block_four_dw", 16 * f), "block_five", 3, 16 * f);
    const x6 = block(up(drop(x5, "bottleneck/dropout"), "block_five_up", 8 * f, x4), "block_six", 3, 8 * f);
    const x7 = block(up(x6, "block_six_up", 4 * f, x3), "block_seven", 3, 4 * f);
    const x8 = block(up(x7, "block_seven_up", 2 * f, x2), "block_eight", 2, 2 * f);
    const x9 = block(up(x8, "block_eight_up", f, x1), "block_nine", 1, f);
    keepUnusedHeads(ctx, config);
    return pointConvLayer(ctx, drop(x9, "head/dropout"), "out_conv", config.classes, { axes: 3, bias: true });
  });
}

/** The authors' deep-supervision heads: never computed, but a file of theirs must load and one of ours must fit. */
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
