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
import { type DecoderMaps, type EncoderMaps, type SegmenterNetwork, within } from "./segmenter.js";

/** What V-Nets differ by. */
export interface VNetForm {
  /** Normalises the output of a convolution; `name` is that of a norm in the state dict. */
  norm(ctx: NetworkContext, x: Value, name: string): Value;
  /** In front of the names of blocks in the state dict. */
  prefix: string;
}

const ownForm: VNetForm = { norm: batchNormLayer, prefix: "" };

/**
 * V-Net (Milletari et al. 2016) in the form that semi-supervised papers use: convolution + batch-norm + ReLU blocks,
 * skips by addition, channel dropout after the bottleneck and before the head. With 16 filters it has 9.45 M parameters.
 * State-dict names of the SFR authors. Its three deep-supervision heads, each with a channel dropout of its own and
 * resized by nearest neighbour, are kept in the file where nothing uses them.
 */
export const vnet: SegmenterNetwork = {
  title: "V-Net",
  longestSide: 16,
  firstWeight: "block_one.conv.0.weight",
  headWeight: "out_conv.weight",
  encode: (ctx, x, { filters, dropout }) =>
    within(ctx, () => {
      const [x1, x2, x3, x4, x5] = vnetEncoder(ctx, x, filters, ownForm);
      return [x1, x2, x3, x4, drop(ctx, x5, "bottleneck/dropout", dropout)];
    }),
  decode: (ctx, encoded, { dropout }) =>
    within(ctx, () => {
      const [x9, x8, x7, x6] = vnetDecoder(ctx, encoded, ownForm);
      return [drop(ctx, x9, "head/dropout", dropout), x8, x7, x6];
    }),
  head: (ctx, map, { classes }) =>
    within(ctx, () => pointConvLayer(ctx, map, "out_conv", classes, { axes: 3, bias: true })),
  coarseHead: (ctx, map, scale, { classes, dropout }) =>
    within(ctx, () => {
      const dropped = drop(ctx, map, `head${scale}/dropout`, dropout);
      let y = pointConvLayer(ctx, dropped, `out_conv_dp${scale}`, classes, { axes: 3, bias: true });
      for (let doubling = 0; doubling < scale; doubling++) y = doubled(y);
      return y;
    }),
  completeFile(weights, { filters, classes }) {
    for (const scale of [1, 2, 3]) {
      const inputs = filters * 2 ** scale;
      const shape = [classes, inputs, 1, 1, 1];
      weights.tensor(`out_conv_dp${scale}.weight`, plainSpec(shape, fanInUniform(inputs), "unused"));
      weights.tensor(`out_conv_dp${scale}.bias`, vectorSpec(classes, fanInUniform(inputs), "unused"));
    }
  },
};

/** Each voxel eight times, as nearest interpolation to twice the extents. */
function doubled(x: Value): Value {
  return ops.depthToSpace(ops.concat(new Array<Value>(8).fill(x), 4), [2, 2, 2]);
}

function drop(ctx: NetworkContext, x: Value, name: string, rate: number): Value {
  if (!ctx.training || ctx.rng === undefined || rate === 0) return x;
  return ops.dropout(x, ctx.rng, rate, true, name);
}

/** The blocks of a V-Net. */
function blocks(ctx: NetworkContext, { norm, prefix }: VNetForm) {
  const block = (x: Value, name: string, convolutions: number, channels: number) => {
    let y = x;
    for (let i = 0; i < convolutions; i++) {
      y = conv3dLayer(ctx, y, `${prefix}${name}.conv.${3 * i}`, channels, 3);
      y = ops.relu(norm(ctx, y, `${prefix}${name}.conv.${3 * i + 1}`));
    }
    return y;
  };
  const down = (x: Value, name: string) => {
    const y = downConv3dLayer(ctx, x, `${prefix}${name}.conv.0`, 2 * x.dim(-1));
    return ops.relu(norm(ctx, y, `${prefix}${name}.conv.1`));
  };
  const up = (x: Value, name: string, skip: Value) => {
    const y = upConv3dLayer(ctx, x, `${prefix}${name}.conv.0`, skip.dim(-1));
    return ops.add(ops.relu(norm(ctx, y, `${prefix}${name}.conv.1`)), skip);
  };
  return { block, down, up };
}

/** Maps of a V-Net's encoder, without dropout. */
export function vnetEncoder(ctx: NetworkContext, x: Value, f: number, form: VNetForm): EncoderMaps {
  const { block, down } = blocks(ctx, form);
  const x1 = block(x, "block_one", 1, f);
  const x2 = block(down(x1, "block_one_dw"), "block_two", 2, 2 * f);
  const x3 = block(down(x2, "block_two_dw"), "block_three", 3, 4 * f);
  const x4 = block(down(x3, "block_three_dw"), "block_four", 3, 8 * f);
  return [x1, x2, x3, x4, block(down(x4, "block_four_dw"), "block_five", 3, 16 * f)];
}

/** Maps of a V-Net's decoder, without dropout. */
export function vnetDecoder(ctx: NetworkContext, encoded: EncoderMaps, form: VNetForm): DecoderMaps {
  const { block, up } = blocks(ctx, form);
  const [x1, x2, x3, x4, x5] = encoded;
  const f = x1.dim(-1);
  const x6 = block(up(x5, "block_five_up", x4), "block_six", 3, 8 * f);
  const x7 = block(up(x6, "block_six_up", x3), "block_seven", 3, 4 * f);
  const x8 = block(up(x7, "block_seven_up", x2), "block_eight", 2, 2 * f);
  return [block(up(x8, "block_eight_up", x1), "block_nine", 1, f), x8, x7, x6];
}
