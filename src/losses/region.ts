import type { Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";

/** Added to numerator and denominator of the Dice ratios. */
const smooth = 1e-5;

/**
 * Dice loss with linear denominators, over the voxels that are not ignored, mean over samples and classes:
 * 1 - mean of (2 sum p y + s) / (sum p + sum y + s), s = 1e-5.
 *
 * @param p probabilities [N, D, H, W, K]
 * @param labels u8 [N, D, H, W], 255 ignored
 */
function sampleDiceLoss(p: Value, labels: Value): Value {
  const [samples, classes] = [p.dim(0), p.dim(-1)];
  const y = ops.oneHot(labels, classes);
  const counted = ops.scaleRows(p, ops.rowMax(y));
  const overlap = ops.multiply(p, y);
  const sample = (x: Value, n: number) => ops.reshape(ops.slice(x, 0, n, n + 1), p.shape.slice(1));
  const total = (x: Value) => ops.sumTo(x, [classes]);
  const ratios = Array.from({ length: samples }, (_, n) => {
    const sizes = ops.add(total(sample(counted, n)), total(sample(y, n)));
    const twice = ops.affine(total(sample(overlap, n)), 2, smooth);
    return ops.sum(ops.divide(twice, ops.affine(sizes, 1, smooth)));
  });
  return ops.affine(
    ratios.reduce((a, b) => ops.add(a, b)),
    -1 / (samples * classes),
    1,
  );
}

/**
 * 0.5 (cross-entropy + Dice) of a region, and both terms: cross-entropy as the mean over its voxels, Dice as
 * sampleDiceLoss.
 *
 * @param mask f32 [D, H, W], zeros and ones; absent: everywhere
 */
export function regionLoss(
  logits: Value,
  labels: Value,
  mask?: Value,
): { loss: Value; crossEntropy: Value; dice: Value } {
  const inside = mask === undefined ? labels : ops.selectLabels(labels, mask);
  const { crossEntropy } = ops.segmentationLoss(logits, inside);
  const dice = sampleDiceLoss(ops.softmax(logits), inside);
  return { loss: ops.affine(ops.add(crossEntropy, dice), 0.5), crossEntropy, dice };
}
