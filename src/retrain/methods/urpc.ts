import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { average, mean } from "../../losses/unsupervised.js";
import type { Method } from "./method.js";
import { averagedSupervision, unlabelledPart } from "./supervised.js";
import { rampedWeight } from "./teacher.js";

/** ln(p + 1e-6), which a probability of 0 does not make infinite. */
const logOf = (p: Value): Value => ops.log(ops.affine(p, 1, 1e-6));

/** L_s of one scale against the mean of all. */
function rectified(p: Value, all: Value, logAll: Value): Value {
  const divergence = ops.dotRows(all, ops.subtract(logAll, logOf(p)));
  const certainty = ops.exp(ops.affine(divergence, -1));
  const difference = ops.subtract(all, p);
  const squares = ops.affine(
    mean(ops.multiply(ops.dotRows(difference, difference), certainty)),
    1 / p.dim(-1),
  );
  return ops.add(ops.divide(squares, ops.affine(mean(certainty), 1, 1e-8)), mean(divergence));
}

/**
 * Uncertainty-rectified pyramid consistency (Luo et al. 2021, 2022). p_s: the softmax of scale s of the decoder, p̄ their
 * mean, on the unlabelled crops; no teacher.
 *
 *   V_s = sum_k p̄ (ln p̄ - ln p_s),   omega_s = exp(-V_s)          per voxel
 *   L_s = mean of omega_s (p̄ - p_s)^2 / (mean omega_s + 1e-8) + mean V_s
 *   L   = mean over s of L_sup,s + w(t) mean over s of L_s
 *
 * Choices: the four scales are those of the network's own deep-supervision heads, of the V-Net resized by nearest
 * neighbour, of the 3D U-Net trilinear (the code), each with the network's dropout. Gradients run through p̄, V and omega, as in the code. ln p
 * is ln(p + 1e-6), since the code's logarithm of a softmax can be -inf. SAM's pseudo-labels teach the finest scale,
 * which alone is kept for prediction.
 */
export const pyramidConsistency: Method = {
  summary: "L = mean L_sup of four scales + L_pl + w(t) consistency of each scale with their mean.",
  names: { none: "URPC", sam: "SFR URPC" },
  usesUnlabelled: true,
  losses(step) {
    const maps = step.decode(step.student, step.encode(step.student, step.images));
    const scales = step.scales(step.student, maps);
    const { total, terms } = averagedSupervision(step, scales);
    const predictions = scales.map((logits) => ops.softmax(unlabelledPart(step, logits)));
    const all = average(predictions);
    const logAll = logOf(all);
    const consistency = average(predictions.map((p) => rectified(p, all, logAll)));
    return {
      total: ops.add(total, ops.multiply(consistency, rampedWeight(step))),
      terms: { ...terms, consistency },
    };
  },
};
