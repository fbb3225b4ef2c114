import type { Value } from "../graph/graph.js";
import { conv3dLayer, type NetworkContext, pointConvLayer } from "../graph/layers.js";
import * as ops from "../graph/ops.js";
import { fanInNormal, fanInUniform, plainSpec, vectorSpec } from "../graph/weights.js";
import type { SegmenterSize } from "./segmenter.js";

/**
 * 3D U-Net (Çiçek et al. 2016) in the form that semi-supervised papers use on BraTS: two convolutions + instance-norm +
 * ReLU per level, max-pooling, trilinear upsampling, skips by concatenation, channel dropout in the decoder. State-dict
 * names of the SSL4MIS authors (`unet_3D_dv_semi`); of the four deep-supervision heads the finest is the output, as in
 * the SFR authors' training, and the others keep their tensors in the file.
 *
 * @param x [N, D, H, W, channels], extents multiples of 16, one of them larger
 * @returns logits [N, D, H, W, K]
 */
export function unet3d(ctx: NetworkContext, x: Value, size: SegmenterSize): Value {
  const { filters: f, classes } = size;
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

  return ctx.graph.within(ctx.weights.name, () => {
    const x1 = block(x, "conv1", f);
    const x2 = block(ops.maxPool3d(x1), "conv2", 2 * f);
    const x3 = block(ops.maxPool3d(x2), "conv3", 4 * f);
    const x4 = block(ops.maxPool3d(x3), "conv4", 8 * f);
    const bottom = block(ops.maxPool3d(x4), "center", 16 * f);
    // Dropout 0.5, 0.3, 0.2, 0.1 by default, from the coarsest level on.
    const up4 = up(bottom, x4, 4, 1);
    const up3 = up(up4, x3, 3, 0.6);
    const up2 = up(up3, x2, 2, 0.4);
    const up1 = up(up2, x1, 1, 0.2);
    keepUnusedHeads(ctx, size);
    return pointConvLayer(ctx, up1, "dsv1", classes, { axes: 3, bias: true, start: fanInNormal });
  });
}

/** Heads of the coarser levels: never computed, but a file of the authors must load and one of ours must fit. */
function keepUnusedHeads(ctx: NetworkContext, { filters, classes }: SegmenterSize): void {
  for (const level of [2, 3, 4]) {
    const inputs = filters * 2 ** (level - 1);
    const shape = [classes, inputs, 1, 1, 1];
    ctx.weights.tensor(`dsv${level}.dsv.0.weight`, plainSpec(shape, fanInNormal(inputs), "unused"));
    ctx.weights.tensor(`dsv${level}.dsv.0.bias`, vectorSpec(classes, fanInUniform(inputs), "unused"));
  }
}
