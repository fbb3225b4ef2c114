import { pointConvLayer } from "../graph/layers.js";
import * as ops from "../graph/ops.js";
import { type SegmenterNetwork, within } from "./segmenter.js";
import { type VNetForm, vnetDecoder, vnetEncoder } from "./vnet.js";

const norm: VNetForm["norm"] = (_, x) => ops.instanceNorm(x);

/**
 * MagicNet's V-Net (Chen et al. 2023): the V-Net's widths and depths with instance-norm without learned parameters instead
 * of batch-norm, and no dropout, so every sample, or cube, is independent of the others of a batch. State-dict names of the
 * authors (`VNet_Magic`), without the location head, which prediction does not need.
 */
export const magicnet: SegmenterNetwork = {
  title: "MagicNet V-Net",
  // Of one voxel at the bottleneck instance-norm would leave 0.
  longestSide: 32,
  firstWeight: "encoder.block_one.conv.0.weight",
  headWeight: "decoder.out_conv.weight",
  encode: (ctx, x, { filters }) =>
    within(ctx, () => vnetEncoder(ctx, x, filters, { norm, prefix: "encoder." })),
  decode: (ctx, encoded) => within(ctx, () => vnetDecoder(ctx, encoded, { norm, prefix: "decoder." })),
  head: (ctx, map, { classes }) =>
    within(ctx, () => pointConvLayer(ctx, map, "decoder.out_conv", classes, { axes: 3, bias: true })),
};
