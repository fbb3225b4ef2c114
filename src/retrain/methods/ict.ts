import { UsageError } from "../../errors.js";
import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import type { Method } from "./method.js";
import { labelledPart, supervisedTerms, unlabelledPart } from "./supervised.js";
import { followStudent, rampedWeight } from "./teacher.js";

/** Both parameters of the Beta distribution that the mixing ratio comes from. */
const mixingShape = 0.2;

/**
 * Interpolation consistency training (Verma et al. 2019). The unlabelled crops are halved, u_a and u_b; one
 * lambda ~ Beta(0.2, 0.2) per step:
 *
 *   L_con = MSE(p(mix(u_a, u_b)), mix(q(u_a), q(u_b))),   mix(a, b) = (1 - lambda) a + lambda b
 *
 * Choices: the student runs once, on labelled and mixed crops together, so they share batch-norm statistics; with SAM's
 * pseudo-labels the unmixed unlabelled crops join that pass. The teacher sees u_a and u_b in two passes, without noise:
 * each half has batch-norm statistics of its own (of a single crop, for two unlabelled ones).
 */
export const interpolationConsistency: Method = {
  summary: "L = L_sup + L_pl + w(t) MSE(student of mixed crops, mixed teacher of the crops).",
  names: { none: "ICT", sam: "SFR ICT" },
  usesUnlabelled: true,
  checkSettings({ retrain: { unlabelledBatch } }) {
    if (unlabelledBatch % 2 !== 0)
      throw new UsageError(
        `retrain.unlabelledBatch: expected an even number for ict, received ${unlabelledBatch}; it mixes pairs`,
      );
  },
  losses(step) {
    const half = step.unlabelled / 2;
    const crops = unlabelledPart(step, step.images);
    const [a, b] = [ops.slice(crops, 0, 0, half), ops.slice(crops, 0, half, step.unlabelled)];
    const ratio = step.scalar("mixingRatio", (_, random) => random.beta(mixingShape, mixingShape));
    const rest = ops.affine(ratio, -1, 1);
    const mix = (x: Value, y: Value) => ops.add(ops.multiply(x, rest), ops.multiply(y, ratio));

    const plain = step.pseudoLabels === undefined ? labelledPart(step, step.images) : step.images;
    const logits = step.forward(step.student, ops.concat([plain, mix(a, b)], 0));
    const { total, terms } = supervisedTerms(step, logits);
    const mixed = ops.slice(logits, 0, logits.dim(0) - half, logits.dim(0));

    const teacher = step.network("teacher");
    const target = (x: Value, pass: string) => ops.softmax(step.forward(teacher, x, { pass }));
    const targets = ops.stopGradient(mix(target(a, "first-half"), target(b, "second-half")));
    const consistency = ops.meanSquaredError(ops.softmax(mixed), targets);
    return {
      total: ops.add(total, ops.multiply(consistency, rampedWeight(step))),
      terms: { ...terms, consistency },
      afterUpdate: () => followStudent(step, teacher),
    };
  },
};
