import type { Value } from "../graph/graph.js";
import { conv3dLayer, type NetworkContext, pointConvLayer } from "../graph/layers.js";
import * as ops from "../graph/ops.js";
import { fanInNormal, fanInUniform, plainSpec, vectorSpec } from "../graph/weights.js";
import type { SegmenterSize } from "./segmenter.js";

/**
 * 3D U-Net (Çiçek et al. 2016) in the form that semi-supervised papers use on BraTS: two convolutions + instance-norm +
 * ReLU per level, max-pooling, trilinear upsampling, skips by concatenation, channel dropout in the decoder. State-dict
 * names of the SSL4MIS authors (`unet_3D_dv_semi`); of the four deep-supervision heads the finest is the output, as in
 * the SFR authors' training, and the others are kept in the file, unused.
 *
 * @param x [N, D, H, W, channels], extents multiples of 16, one of them larger
 * @returns logits [N, D, H, W, K]
 */
export function unet3d(ctx: NetworkContext, x: Value, size: SegmenterSize): Value {
  return ctx.graph.within(ctx.weights.name, () => {
    const [finest] = decoded(ctx, x, size);
    keepUnusedHeads(ctx, size);
    return head(ctx, finest, "dsv1", size.classes);
  });
}

/**
 * The same network with its three other heads in use: on the decoder's maps of a half, a quarter and an eighth of the
 * resolution, resized to the input's grid (trilinear).
 *
 * @returns logits [N, D, H, W, K] of each scale, the finest first
 */
export function unet3dScales(ctx: NetworkContext, x: Value, size: SegmenterSize): Value[] {
  return ctx.graph.within(ctx.weights.name, () => {
    const [finest, ...coarser] = decoded(ctx, x, size);
    const logits = coarser.map((map, i) =>
      ops.resizeTrilinear(head(ctx, map, `dsv${i + 2}.dsv.0`, size.classes), [x.dim(1), x.dim(2), x.dim(3)]),
    );
    return [head(ctx, finest, "dsv1", size.classes), ...logits];
  });
}

function head(ctx: NetworkContext, x: Value, name: string, classes: number): Value {
  return pointConvLayer(ctx, x, name, classes, { axes: 3, bias: true, start: fanInNormal });
}

/** Maps of the decoder after their dropout: at full resolution, and of a half, a quarter and an eighth of it. */
function decoded(ctx: NetworkContext, x: Value, size: SegmenterSize): [Value, Value, Value, Value] {
  const f = size.filters;
  const block = (input: Value, name: string, channels: number) => {
    let y = input;
    for (const part of ["conv1", "conv2"])
      y = ops.relu(ops.instanceNorm(conv3dLayer(ctx, y, `${name}.${part}.0`, channels, 3, fanInNormal)));
    return y;
  };
  const up = (input: Value, skip: Value, level: number, dropoutShare: number) => {
    const fine = ops.resizeTrilinear(input, [skip.dim(1), skip.dim(2), skip.dim(3)]);
    const y = block(ops.concat([skip, fine], 4), `up_concat${level}.conv`, skip.dim(-1));
    const rate = dropoutShare * size.dropout;
    return ctx.training && ctx.rng !== undefined && rate > 0
      ? ops.dropout(y, ctx.rng, rate, true, `up${level}/dropout`)
      : y;
  };
  const x1 = block(x, "conv1", f);
  const x2 = block(ops.maxPool3d(x1), "conv2", 2 * f);
  const x3 = block(ops.maxPool3d(x2), "conv3", 4 * f);
  const x4 = block(ops.maxPool3d(x3), "conv4", 8 * f);
  const bottom = block(ops.maxPool3d(x4), "center", 16 * f);
  // Dropout 0.5, 0.3, 0.2, 0.1 by default, from the coarsest level on.
  const up4 = up(bottom, x4, 4, 1);
  const up3 = up(up4, x3, 3, 0.6);
  const up2 = up(up3, x2, 2, 0.4);
  return [up(up2, x1, 1, 0.2), up2, up3, up4];
}

/** The coarser heads where they are not computed: a file of the authors must load and one of ours must fit. */
function keepUnusedHeads(ctx: NetworkContext, { filters, classes }: SegmenterSize): void {
  for (const level of [2, 3, 4]) {
    const inputs = filters * 2 ** (level - 1);
    const shape = [classes, inputs, 1, 1, 1];
    ctx.weights.tensor(`dsv${level}.dsv.0.weight`, plainSpec(shape, fanInNormal(inputs), "unused"));
    ctx.weights.tensor(`dsv${level}.dsv.0.bias`, vectorSpec(classes, fanInUniform(inputs), "unused"));
  }
}
