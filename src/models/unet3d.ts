import type { Value } from "../graph/graph.js";
import { conv3dLayer, type NetworkContext, pointConvLayer } from "../graph/layers.js";
import * as ops from "../graph/ops.js";
import { fanInNormal, fanInUniform, plainSpec, vectorSpec } from "../graph/weights.js";
import { type SegmenterNetwork, within } from "./segmenter.js";

/**
 * 3D U-Net (Çiçek et al. 2016) in the form that semi-supervised papers use on BraTS: two convolutions + instance-norm +
 * ReLU per level, max-pooling, trilinear upsampling, skips by concatenation, channel dropout in the decoder. State-dict
 * names of the SSL4MIS authors (`unet_3D_dv_semi`); of the four deep-supervision heads the finest is the output, as in
 * the SFR authors' training. The others, resized by trilinear interpolation, are kept in the file where nothing uses
 * them.
 */
export const unet3d: SegmenterNetwork = {
  title: "3D U-Net",
  // Of one voxel at the bottleneck instance-norm would leave 0.
  longestSide: 32,
  firstWeight: "conv1.conv1.0.weight",
  headWeight: "dsv1.weight",
  encode: (ctx, x, { filters }) =>
    within(ctx, () => {
      const down = (map: Value, name: string) => block(ctx, ops.maxPool3d(map), name, 2 * map.dim(-1));
      const x1 = block(ctx, x, "conv1", filters);
      const x2 = down(x1, "conv2");
      const x3 = down(x2, "conv3");
      const x4 = down(x3, "conv4");
      return [x1, x2, x3, x4, down(x4, "center")];
    }),
  decode: (ctx, [x1, x2, x3, x4, bottom], { dropout }) =>
    within(ctx, () => {
      // Dropout 0.5, 0.3, 0.2, 0.1 by default, from the coarsest level on.
      const up4 = up(ctx, bottom, x4, 4, dropout);
      const up3 = up(ctx, up4, x3, 3, 0.6 * dropout);
      const up2 = up(ctx, up3, x2, 2, 0.4 * dropout);
      return [up(ctx, up2, x1, 1, 0.2 * dropout), up2, up3, up4];
    }),
  head: (ctx, map, { classes }) => within(ctx, () => headLayer(ctx, map, "dsv1", classes)),
  coarseHead: (ctx, map, scale, { classes }) =>
    within(ctx, () => {
      const logits = headLayer(ctx, map, `dsv${scale + 1}.dsv.0`, classes);
      const factor = 2 ** scale;
      return ops.resizeTrilinear(logits, [map.dim(1) * factor, map.dim(2) * factor, map.dim(3) * factor]);
    }),
  completeFile(weights, { filters, classes }) {
    for (const level of [2, 3, 4]) {
      const inputs = filters * 2 ** (level - 1);
      const shape = [classes, inputs, 1, 1, 1];
      weights.tensor(`dsv${level}.dsv.0.weight`, plainSpec(shape, fanInNormal(inputs), "unused"));
      weights.tensor(`dsv${level}.dsv.0.bias`, vectorSpec(classes, fanInUniform(inputs), "unused"));
    }
  },
};

function headLayer(ctx: NetworkContext, x: Value, name: string, classes: number): Value {
  return pointConvLayer(ctx, x, name, classes, { axes: 3, bias: true, start: fanInNormal });
}

function block(ctx: NetworkContext, x: Value, name: string, channels: number): Value {
  let y = x;
  for (const part of ["conv1", "conv2"])
    y = ops.relu(ops.instanceNorm(conv3dLayer(ctx, y, `${name}.${part}.0`, channels, 3, fanInNormal)));
  return y;
}

function up(ctx: NetworkContext, x: Value, skip: Value, level: number, rate: number): Value {
  const fine = ops.resizeTrilinear(x, [skip.dim(1), skip.dim(2), skip.dim(3)]);
  const y = block(ctx, ops.concat([skip, fine], 4), `up_concat${level}.conv`, skip.dim(-1));
  return ctx.training && ctx.rng !== undefined && rate > 0
    ? ops.dropout(y, ctx.rng, rate, true, `up${level}/dropout`)
    : y;
}
