import * as ops from "../../graph/ops.js";
import type { Method } from "./method.js";
import { labelledAndPseudoLabelled } from "./supervised.js";
import { followStudent, rampedWeight, withNoise } from "./teacher.js";

/**
 * Mean Teacher (Tarvainen & Valpola 2017) in SFR's form: consistency over labelled and unlabelled crops. The teacher
 * starts as a network of its own (the first update copies the student), stays in training mode, sees noisy crops, and
 * gets a moving average of the student's learnable tensors; its batch-norm statistics are its own.
 */
export const meanTeacher: Method = {
  summary: "L = L_sup + L_pl + w(t) MSE(softmax student, softmax teacher); teacher = EMA of the student.",
  names: { none: "Mean Teacher", sam: "SFR" },
  usesUnlabelled: true,
  losses(step) {
    const { logits, total, terms } = labelledAndPseudoLabelled(step);
    const teacher = step.network("teacher");
    const noisy = withNoise(step, step.images, "teacher/noise");
    const target = ops.stopGradient(ops.softmax(step.forward(teacher, noisy)));
    const consistency = ops.meanSquaredError(ops.softmax(logits), target);
    return {
      total: ops.add(total, ops.multiply(consistency, rampedWeight(step))),
      terms: { ...terms, consistency },
      afterUpdate: () => followStudent(step, teacher),
    };
  },
};
