import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { entropy, maskedSquaredError } from "../../losses/unsupervised.js";
import { sigmoidRampUp } from "../schedule.js";
import type { Method, StepContext } from "./method.js";
import { stochasticMean } from "./stochastic-passes.js";
import { labelledAndPseudoLabelled, unlabelledPart } from "./supervised.js";
import { followStudent, rampedWeight, withNoise } from "./teacher.js";

/** What tells ambiguous voxels, and what follows from it. */
interface Selector {
  /** Share of the largest entropy, ln K, from which a voxel counts as ambiguous: at the start, and what is added. */
  threshold: { start: number; rise: number };
  /** Probabilities of the unlabelled crops, whose entropy is looked at. */
  probabilities(step: StepContext, student: Value): Value;
  /** Factor on the mean over selected voxels and classes. */
  scale(classes: number): number;
}

/**
 * Ambiguity-consensus Mean Teacher (Xu et al. 2023). On the unlabelled crops, with the student's p, the teacher's q =
 * softmax of one noisy pass, and a selector's probabilities s:
 *
 *   m     = [H(s) >= tau(t) ln K]      no gradient through m
 *   L_amb = scale sum m (p - q)^2 / (K sum m + 1e-16)      0 where nothing is ambiguous
 *
 * tau rises with the sigmoid ramp-up per step, not in stairs (commented-out lines of the code let it fall).
 */
function ambiguityConsensus(summary: string, name: string, selector: Selector): Method {
  const { threshold } = selector;
  return {
    summary,
    names: { none: name, sam: `SFR ${name}` },
    usesUnlabelled: true,
    losses(step) {
      const { settings } = step;
      const { logits, total, terms } = labelledAndPseudoLabelled(step);
      const classes = logits.dim(-1);
      const student = ops.softmax(unlabelledPart(step, logits));
      const noisy = withNoise(step, unlabelledPart(step, step.images), "teacher/noise");
      const teacher = step.network("teacher");
      const target = ops.stopGradient(ops.softmax(step.forward(teacher, noisy)));
      const tau = step.scalar(
        "entropyThreshold",
        (t) => (threshold.start + threshold.rise * sigmoidRampUp(t / settings.steps)) * Math.log(classes),
      );
      const probabilities = ops.stopGradient(selector.probabilities(step, student));
      const ambiguous = ops.atLeast(entropy(probabilities), tau);
      const consistency = ops.affine(maskedSquaredError(student, target, ambiguous), selector.scale(classes));
      const voxels = ambiguous.shape.reduce((product, extent) => product * extent, 1);
      return {
        total: ops.add(total, ops.multiply(consistency, rampedWeight(step))),
        terms: { ...terms, consistency, ambiguousShare: ops.affine(ops.sum(ambiguous), 1 / voxels) },
        afterUpdate: () => followStudent(step, teacher),
      };
    },
  };
}

/** ACMT with predictive entropy: s = p, tau from 0.75 to 0.95. The code's clean teacher pass, which nothing reads, is left out. */
export const ambiguityByEntropy = ambiguityConsensus(
  "L = L_sup + L_pl + w(t) MSE(student, teacher) where the student's entropy is high.",
  "ACMT (Ent)",
  {
    threshold: { start: 0.75, rise: 0.2 },
    probabilities: (_, student) => student,
    scale: () => 1,
  },
);

/**
 * ACMT with model uncertainty: s = mean of 8 stochastic passes of the student, tau from 0.75 to 0.9. As in the code, its
 * passes move the student's running batch-norm statistics (4 of every 5 times), which prediction uses; and the mask has
 * one channel against K of the difference, so the loss is K times that of Ent.
 */
export const ambiguityByModelUncertainty = ambiguityConsensus(
  "L = L_sup + L_pl + w(t) K MSE(student, teacher) where 8 stochastic passes of the student disagree.",
  "ACMT (MU)",
  {
    threshold: { start: 0.75, rise: 0.15 },
    probabilities: (step) => stochasticMean(step, step.student, unlabelledPart(step, step.images)),
    scale: (classes) => classes,
  },
);
