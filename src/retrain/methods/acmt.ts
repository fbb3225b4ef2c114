import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import type { WeightSet } from "../../graph/weights.js";
import { entropy, maskedSquaredError, mean } from "../../losses/unsupervised.js";
import { sigmoidRampUp } from "../schedule.js";
import type { Method, StepContext } from "./method.js";
import { stochasticMean } from "./stochastic-passes.js";
import { labelledAndPseudoLabelled, unlabelledPart } from "./supervised.js";
import { followStudent, rampedWeight, withNoise } from "./teacher.js";

/** What selectors look at, of the unlabelled crops. */
export interface Consensus {
  /** [N, D, H, W, channels]. */
  crops: Value;
  /** The student's softmax. */
  student: Value;
  /** The teacher's softmax of one noisy pass; no gradient. */
  target: Value;
  teacher: WeightSet;
}

/** L_amb by one selector of ambiguous voxels, and what is recorded of it. */
export type Selector = (
  step: StepContext,
  consensus: Consensus,
) => { loss: Value; terms: Readonly<Record<string, Value>> };

/**
 * Ambiguity-consensus Mean Teacher (Xu et al. 2023): on the unlabelled crops, with the student's p and the teacher's q =
 * softmax of one noisy pass,
 *
 *   L = L_sup + L_pl + w(t) L_amb      L_amb = sum m (p - q)^2 / (K sum m + 1e-16), 0 where nothing is ambiguous
 *
 * with a mask m of ambiguous voxels, through which no gradient flows. Selectors differ in m.
 */
export function ambiguityConsensus(summary: string, name: string, selector: Selector): Method {
  return {
    summary,
    names: { none: name, sam: `SFR ${name}` },
    usesUnlabelled: true,
    losses(step) {
      const { logits, total, terms } = labelledAndPseudoLabelled(step);
      const crops = unlabelledPart(step, step.images);
      const teacher = step.network("teacher");
      const noisy = withNoise(step, crops, "teacher/noise");
      const target = ops.stopGradient(ops.softmax(step.forward(teacher, noisy)));
      const student = ops.softmax(unlabelledPart(step, logits));
      const ambiguity = selector(step, { crops, student, target, teacher });
      return {
        total: ops.add(total, ops.multiply(ambiguity.loss, rampedWeight(step))),
        terms: { ...terms, ...ambiguity.terms },
        afterUpdate: () => followStudent(step, teacher),
      };
    },
  };
}

/** What tells ambiguous voxels by their entropy, and what follows from it. */
interface EntropySelector {
  /** Share of the largest entropy, ln K, from which a voxel counts as ambiguous: at the start, and what is added. */
  threshold: { start: number; rise: number };
  /** Probabilities of the unlabelled crops, whose entropy is looked at. */
  probabilities(step: StepContext, consensus: Consensus): Value;
  /** Factor on the mean over selected voxels and classes. */
  scale(classes: number): number;
}

/**
 * m = [H(s) >= tau(t) ln K] of a selector's probabilities s. tau rises with the sigmoid ramp-up per step, not in stairs
 * (commented-out lines of the code let it fall).
 */
function byEntropy({ threshold, probabilities, scale }: EntropySelector): Selector {
  return (step, consensus) => {
    const { student, target } = consensus;
    const classes = student.dim(-1);
    const tau = step.scalar(
      "entropyThreshold",
      (t) => (threshold.start + threshold.rise * sigmoidRampUp(t / step.settings.steps)) * Math.log(classes),
    );
    const looked = ops.stopGradient(probabilities(step, consensus));
    const ambiguous = ops.atLeast(entropy(looked), tau);
    const consistency = ops.affine(maskedSquaredError(student, target, ambiguous), scale(classes));
    return { loss: consistency, terms: { consistency, ambiguousShare: mean(ambiguous) } };
  };
}

/** ACMT with predictive entropy: s = p, tau from 0.75 to 0.95. The code's clean teacher pass, which nothing reads, is left out. */
export const ambiguityByEntropy = ambiguityConsensus(
  "L = L_sup + L_pl + w(t) MSE(student, teacher) where the student's entropy is high.",
  "ACMT (Ent)",
  byEntropy({
    threshold: { start: 0.75, rise: 0.2 },
    probabilities: (_, { student }) => student,
    scale: () => 1,
  }),
);

/**
 * ACMT with model uncertainty: s = mean of 8 stochastic passes of the student, tau from 0.75 to 0.9. As in the code, its
 * passes move the student's running batch-norm statistics (4 of every 5 times), which prediction uses; and the mask has
 * one channel against K of the difference, so the loss is K times that of Ent.
 */
export const ambiguityByModelUncertainty = ambiguityConsensus(
  "L = L_sup + L_pl + w(t) K MSE(student, teacher) where 8 stochastic passes of the student disagree.",
  "ACMT (MU)",
  byEntropy({
    threshold: { start: 0.75, rise: 0.15 },
    probabilities: (step, { crops }) => stochasticMean(step, step.student, crops),
    scale: (classes) => classes,
  }),
);

/**
 * ACMT with self label-noise identification: m = voxels where confident learning (ops.labelNoise) calls the student's
 * argmax wrong by the teacher's softmax of a clean pass, all unlabelled crops pooled. Where the student predicts a single
 * class nothing can be told, and m is 1 everywhere: plain MSE, the code's way out.
 */
export const ambiguityByLabelNoise = ambiguityConsensus(
  "L = L_sup + L_pl + w(t) MSE(student, teacher) where the student's labels look wrong to the teacher.",
  "ACMT (SErr)",
  (step, { crops, student, target, teacher }) => {
    const clean = ops.softmax(step.forward(teacher, crops, { pass: "clean" }));
    const ambiguous = ops.stopGradient(ops.labelNoise(ops.argmax(student), clean));
    const consistency = maskedSquaredError(student, target, ambiguous);
    return { loss: consistency, terms: { consistency, ambiguousShare: mean(ambiguous) } };
  },
);
