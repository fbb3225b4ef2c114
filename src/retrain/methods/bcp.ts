import { UsageError } from "../../errors.js";
import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { regionLoss } from "../../losses/region.js";
import { supervisedLoss } from "../../losses/supervised.js";
import type { Method, StepContext, StepLosses } from "./method.js";
import { labelledPart, pseudoLabelledPart, unlabelledPart } from "./supervised.js";
import { followStudent } from "./teacher.js";

/** Part of the steps that the labelled warm-up takes: the code's 2000 of 17000. */
const warmUpShare = 2 / 17;
/** Weight of what is taught by the teacher's labels. */
const pseudoWeight = 0.5;

/** A mask of the step [D, H, W], its complement, and the blend of two stacks of crops [N, D, H, W, C] with it. */
function copyPaste(step: StepContext): {
  mask: Value;
  rest: Value;
  blend(inside: Value, outside: Value): Value;
} {
  const [channels, extents] = [step.images.dim(4), step.images.shape.slice(1, 4)];
  const box = extents.map((extent) => Math.floor((2 * extent) / 3));
  const mask = ops.boxMask(step.rng, extents, box, "copy-paste");
  const rest = ops.affine(mask, -1, 1);
  const overChannels = (one: Value) =>
    ops.concat(new Array<Value>(channels).fill(ops.reshape(one, [...extents, 1])), 3);
  const [m, r] = [overChannels(mask), overChannels(rest)];
  return { mask, rest, blend: (a, b) => ops.add(ops.multiply(a, m), ops.multiply(b, r)) };
}

function halves(x: Value): [Value, Value] {
  const [half, count] = [x.dim(0) / 2, x.dim(0)];
  return [ops.slice(x, 0, 0, half), ops.slice(x, 0, half, count)];
}

/** Labelled crops pasted into each other: 0.5 (CE + Dice) of one mixed half-batch. */
function pasteLabelled(step: StepContext): StepLosses {
  const { mask, blend } = copyPaste(step);
  const [a, b] = halves(labelledPart(step, step.images));
  const [labelsA, labelsB] = halves(step.labels);
  const logits = step.forward(step.student, blend(a, b));
  const { loss, crossEntropy, dice } = regionLoss(logits, ops.selectLabels(labelsA, mask, labelsB));
  return { total: loss, terms: { crossEntropy, dice } };
}

/**
 * Bidirectional copy-paste (Bai et al. 2023). M: ones with a zero box of 2/3 of each extent at a random place, one per
 * step. Labelled crops x_a, x_b with labels y, unlabelled u_a, u_b with the teacher's labels ŷ, two passes of the student:
 *
 *   in  = M x_a + (1 - M) u_a     L_in  = R_M(in, y_a) + 0.5 R_(1-M)(in, ŷ_a)
 *   out = M u_b + (1 - M) x_b     L_out = 0.5 R_M(out, ŷ_b) + R_(1-M)(out, y_b)
 *   R_M = 0.5 (CE + Dice) of the voxels in M, Dice per sample and class with linear denominators
 *
 * Choices: 2/17 of the steps come first, on labelled crops pasted into each other at a constant learning rate; then
 * teacher and student go on from their result with fresh momentum and schedules. ŷ = argmax of the teacher's clean pass
 * of each half by itself, the largest 26-connected component of each class (the code: of its one class). The box goes
 * by the crop's extents (the code's numbers hold for 112 x 112 x 80 alone). EMA decay is constant; no ramp. SAM's
 * pseudo-labels add L_pl on a third, unmixed pass. Prediction as for all methods, without keeping a largest component.
 */
export const bidirectionalCopyPaste: Method = {
  summary:
    "L = L_in + L_out of crops pasted into each other (+ L_pl); the teacher labels the unlabelled parts.",
  names: { none: "BCP", sam: "SFR BCP" },
  usesUnlabelled: true,
  checkSettings({ retrain: { labelledBatch, unlabelledBatch } }) {
    if (labelledBatch % 2 !== 0 || unlabelledBatch !== labelledBatch)
      throw new UsageError(
        "retrain: expected an even labelledBatch and as many for unlabelledBatch for bcp, received " +
          `${labelledBatch} and ${unlabelledBatch}; it pastes pairs of crops into each other`,
      );
  },
  warmUp: { share: warmUpShare, losses: pasteLabelled },
  losses(step) {
    const { mask, rest, blend } = copyPaste(step);
    const [a, b] = halves(labelledPart(step, step.images));
    const [labelsA, labelsB] = halves(step.labels);
    const [unlabelledA, unlabelledB] = halves(unlabelledPart(step, step.images));
    const teacher = step.network("teacher");
    const label = (crops: Value, pass: string) =>
      ops.largestComponent(ops.argmax(step.forward(teacher, crops, { pass })));

    const inward = step.forward(step.student, blend(a, unlabelledA), { pass: "inward" });
    const outward = step.forward(step.student, blend(unlabelledB, b), { pass: "outward" });
    const [first, second] = [regionLoss(inward, labelsA, mask), regionLoss(outward, labelsB, rest)];
    const taught = ops.add(
      regionLoss(inward, label(unlabelledA, "first-half"), rest).loss,
      regionLoss(outward, label(unlabelledB, "second-half"), mask).loss,
    );
    const half = (x: Value, y: Value) => ops.affine(ops.add(x, y), 0.5);
    const supervised = ops.add(first.loss, second.loss);
    const total = ops.add(supervised, ops.affine(taught, pseudoWeight));
    const terms = {
      crossEntropy: half(first.crossEntropy, second.crossEntropy),
      dice: half(first.dice, second.dice),
      taught,
    };
    const afterUpdate = () => followStudent(step, teacher, false);
    if (step.pseudoLabels === undefined) return { total, terms, afterUpdate };
    const plain = step.forward(step.student, pseudoLabelledPart(step, step.images), { pass: "unmixed" });
    const pseudoLabel = supervisedLoss(plain, step.pseudoLabels).loss;
    return { total: ops.add(total, pseudoLabel), terms: { ...terms, pseudoLabel }, afterUpdate };
  },
};
