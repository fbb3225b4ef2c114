import { pointConvLayer } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { maskedSquaredError } from "../../losses/unsupervised.js";
import type { Method } from "./method.js";
import { labelledPart, supervisedTerms } from "./supervised.js";
import { rampedWeight } from "./teacher.js";

/** Weight of the signed distance maps' own loss. */
const distanceWeight = 0.3;
/** Slope of the sigmoid that turns a distance map into probabilities. */
const slope = 1500;

/**
 * Dual-task consistency (Luo et al. 2021). A second head on the map that the first reads gives signed distance maps a of
 * the classes 1 .. K - 1; g are those of the labels, negative inside, within the crop divided by the largest distance on
 * either side:
 *
 *   L_dist = MSE(a, g), labelled crops, weight 0.3        a = tanh(1x1x1 convolution)
 *   L_con  = mean of (sigmoid(-1500 a) - p)^2 over classes 1 .. K - 1, all crops      gradients into both heads
 *
 * Choices: p is the softmax (the code has one class, whose sigmoid head is the same for K = 2), with a distance map for
 * each class but the background. Cross-entropy is part of L_sup as for all methods (the code only logs it). g is 0 in
 * a crop without the class, as in the code, and in one of nothing else, where the code divides by zero. Ignored voxels
 * are on neither side and not in L_dist. The code's largest consistency weight is 1, not 0.1. The distance head is not
 * kept.
 */
export const dualTaskConsistency: Method = {
  summary: "L = L_sup + L_pl + 0.3 MSE(signed distance, label's) + w(t) MSE(sigmoid(-1500 distance), p).",
  names: { none: "DTC", sam: "SFR DTC" },
  usesUnlabelled: true,
  losses(step) {
    const [map] = step.decode(step.student, step.encode(step.student, step.images));
    const logits = step.head(step.student, map);
    const { total, terms } = supervisedTerms(step, logits);
    const classes = logits.dim(-1);
    const distanceHead = step.network("distance");
    const distances = ops.tanh(
      pointConvLayer(step.layers(distanceHead), map, "out_conv", classes - 1, { axes: 3, bias: true }),
    );
    const distance = maskedSquaredError(
      labelledPart(step, distances),
      ops.signedDistance(step.labels, classes),
      ops.rowMax(ops.oneHot(step.labels, classes)),
    );
    const foreground = ops.slice(ops.softmax(logits), 4, 1, classes);
    const consistency = ops.meanSquaredError(ops.sigmoid(ops.affine(distances, -slope)), foreground);
    const weighted = ops.multiply(consistency, rampedWeight(step));
    return {
      total: ops.add(ops.add(total, ops.affine(distance, distanceWeight)), weighted),
      terms: { ...terms, distance, consistency },
      trained: [step.student, distanceHead],
    };
  },
};
