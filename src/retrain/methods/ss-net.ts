import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { ClassContrast } from "./class-contrast.js";
import type { Method, StepContext } from "./method.js";
import { labelledPart, supervisedTerms, unlabelledPart } from "./supervised.js";
import { rampedWeight } from "./teacher.js";

/** Length of the adversarial change of a crop, and of the random one it is found from. */
const radius = 10;
/** Weight of the contrast within the unsupervised term. */
const contrastWeight = 0.1;

/** 1 - (2 sum a b + 1e-8) / (sum a + sum b + 1e-8) over all samples, voxels and classes. */
function overlapLoss(a: Value, b: Value): Value {
  const overlap = ops.affine(ops.sum(ops.dotRows(a, b)), 2, 1e-8);
  const sizes = ops.affine(ops.add(ops.sum(a), ops.sum(b)), 1, 1e-8);
  return ops.affine(ops.divide(overlap, sizes), -1, 1);
}

/** Each sample divided by its length + 1e-8. */
function unitSamples(x: Value): Value {
  const samples = Array.from({ length: x.dim(0) }, (_, n) => {
    const own = ops.slice(x, 0, n, n + 1);
    const length = ops.exp(ops.affine(ops.log(ops.sum(ops.multiply(own, own))), 0.5));
    return ops.divide(own, ops.affine(length, 1, 1e-8));
  });
  return ops.concat(samples, 0);
}

/**
 * Virtual adversarial training: how far the prediction moves with the crops' change of length 10 that moves it most, found
 * by one gradient with respect to a random change. Dropout is drawn anew in each pass; only the first moves the running
 * batch-norm statistics.
 */
function adversarialLoss(step: StepContext): Value {
  const clean = ops.stopGradient(ops.softmax(step.forward(step.student, step.images, { pass: "clean" })));
  const moved = (change: Value, pass: string) => {
    const crops = ops.add(step.images, ops.affine(change, radius));
    return overlapLoss(
      ops.softmax(step.forward(step.student, crops, { pass, updateStatistics: false })),
      clean,
    );
  };
  const random = unitSamples(ops.uniformNoise(step.rng, step.images.shape, 0.5, "adversarial/noise"));
  const [steepest] = step.graph.gradients(moved(random, "random"), [random]);
  return steepest === undefined
    ? moved(random, "adversarial")
    : moved(ops.stopGradient(unitSamples(steepest)), "adversarial");
}

/**
 * SS-Net (Wu et al. 2022): smoothness and separation of classes.
 *
 *   L = L_sup + L_pl + w(t) [L_vat + 0.1 (L_con,labelled + L_con,unlabelled)]
 *
 * L_vat: 1 - Dice of p and p(x + 10 r), r the direction that moves it most, all crops. L_con: 1 - cosine of a voxel's
 * feature, the map before the head through two perceptrons, and the remembered ones of its class (label, or the argmax).
 *
 * Choices: the memory keeps the 32 features of lowest selector score (the code's comment says highest). Its second
 * selectors, on the memory's side, cancel out of the loss and are left out. L_sup is the one of all methods here (the code:
 * Dice of class 1). The code's largest weight is 1, not 0.1, one step ahead in its ramp-up. Nothing of this but the
 * segmenter is kept; predictions are scored without keeping a largest component.
 */
export const smoothnessAndSeparation: Method = {
  summary: "L = L_sup + L_pl + w(t) (adversarial smoothness + 0.1 contrast with a memory of each class).",
  names: { none: "SS-Net", sam: "SFR SS-Net" },
  usesUnlabelled: true,
  losses(step) {
    const [map] = step.decode(step.student, step.encode(step.student, step.images));
    const logits = step.head(step.student, map);
    const { total, terms } = supervisedTerms(step, logits);
    const prediction = ops.stopGradient(ops.argmax(logits));
    const separation = new ClassContrast(step, logits.dim(-1));
    const features = labelledPart(step, map);
    const memories = separation.renewed(features, labelledPart(step, prediction), step.labels);
    const contrast = ops.add(
      separation.loss(features, step.labels, memories),
      separation.loss(unlabelledPart(step, map), unlabelledPart(step, prediction), memories),
    );
    const smoothness = adversarialLoss(step);
    const unsupervised = ops.add(smoothness, ops.affine(contrast, contrastWeight));
    return {
      total: ops.add(total, ops.multiply(unsupervised, rampedWeight(step))),
      terms: { ...terms, smoothness, contrast },
      trained: [step.student, separation.weights],
      afterUpdate: () => separation.remember(),
    };
  },
};
