import type { Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";

/** 0.5 * (cross-entropy + Dice loss) and its two terms; see ops.segmentationLoss for logits of another size. */
export function supervisedLoss(
  logits: Value,
  labels: Value,
): { loss: Value; crossEntropy: Value; dice: Value } {
  const { crossEntropy, dice } = ops.segmentationLoss(logits, labels);
  return { loss: ops.affine(ops.add(crossEntropy, dice), 0.5), crossEntropy, dice };
}
