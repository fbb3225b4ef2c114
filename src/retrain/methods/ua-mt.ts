import * as ops from "../../graph/ops.js";
import { entropy, maskedSquaredError } from "../../losses/unsupervised.js";
import { sigmoidRampUp } from "../schedule.js";
import type { Method } from "./method.js";
import { stochasticMean } from "./stochastic-passes.js";
import { labelledAndPseudoLabelled, unlabelledPart } from "./supervised.js";
import { followStudent, rampedWeight, withNoise } from "./teacher.js";

/** Share of the largest entropy, ln K, below which the teacher counts as certain: at the start, and what is added. */
const threshold = { start: 0.75, rise: 0.25 } as const;

/**
 * Uncertainty-aware Mean Teacher (Yu et al. 2019). On the unlabelled crops u, with the teacher's q = softmax of one noisy
 * pass and p̄ the mean of T = 8 stochastic ones:
 *
 *   m     = [H(p̄) < tau(t)],   tau(t) = (0.75 + 0.25 R(t)) ln K,   R the sigmoid ramp-up per step, not in stairs
 *   L_con = sum m (p_u - q)^2 / (K sum m + 1e-16)      0 when the teacher is certain nowhere
 *
 * Choices: consistency on unlabelled crops alone (the README's script; a sibling takes all). ln K and K stand where the
 * code has ln 2 and 2. The stochastic passes repeat the crops in one batch, which defines their batch-norm statistics.
 * L_sup is the one of all methods here (the code: Dice of class 1 alone).
 */
export const uncertaintyAwareMeanTeacher: Method = {
  summary: "L = L_sup + L_pl + w(t) MSE(student, teacher) where 8 stochastic passes of the teacher agree.",
  names: { none: "UA-MT", sam: "SFR UA-MT" },
  usesUnlabelled: true,
  losses(step) {
    const { settings } = step;
    const { logits, total, terms } = labelledAndPseudoLabelled(step);
    const teacher = step.network("teacher");
    const crops = unlabelledPart(step, step.images);
    const noisy = withNoise(step, crops, "teacher/noise");
    const target = ops.stopGradient(ops.softmax(step.forward(teacher, noisy)));
    const largest = Math.log(logits.dim(-1));
    const tau = step.scalar(
      "entropyThreshold",
      (t) => (threshold.start + threshold.rise * sigmoidRampUp(t / settings.steps)) * largest,
    );
    const uncertain = ops.atLeast(entropy(stochasticMean(step, teacher, crops)), tau);
    const certain = ops.affine(uncertain, -1, 1);
    const consistency = maskedSquaredError(ops.softmax(unlabelledPart(step, logits)), target, certain);
    const voxels = certain.shape.reduce((product, extent) => product * extent, 1);
    return {
      total: ops.add(total, ops.multiply(consistency, rampedWeight(step))),
      terms: { ...terms, consistency, certainShare: ops.affine(ops.sum(certain), 1 / voxels) },
      afterUpdate: () => followStudent(step, teacher),
    };
  },
};
