import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import type { Method, StepContext } from "./method.js";
import { labelledAndPseudoLabelled, unlabelledPart } from "./supervised.js";
import { followStudent, rampedWeight, withNoise } from "./teacher.js";

/**
 * Mean Teacher (Tarvainen & Valpola 2017) with consistency over some of the crops. The teacher starts as a network of its
 * own (the first update copies the student), stays in training mode, sees noisy crops, and gets a moving average of the
 * student's learnable tensors; its batch-norm statistics are its own.
 */
function meanTeacherOn(
  crops: (step: StepContext, x: Value) => Value,
  text: Pick<Method, "summary" | "names">,
): Method {
  return {
    ...text,
    usesUnlabelled: true,
    losses(step) {
      const { logits, total, terms } = labelledAndPseudoLabelled(step);
      const teacher = step.network("teacher");
      const noisy = withNoise(step, crops(step, step.images), "teacher/noise");
      const target = ops.stopGradient(ops.softmax(step.forward(teacher, noisy)));
      const consistency = ops.meanSquaredError(ops.softmax(crops(step, logits)), target);
      return {
        total: ops.add(total, ops.multiply(consistency, rampedWeight(step))),
        terms: { ...terms, consistency },
        afterUpdate: () => followStudent(step, teacher),
      };
    },
  };
}

/** In SFR's form: all crops. */
export const meanTeacher = meanTeacherOn((_, x) => x, {
  summary: "L = L_sup + L_pl + w(t) MSE(softmax student, softmax teacher); teacher = EMA of the student.",
  names: { none: "Mean Teacher", sam: "SFR" },
});

/** In SSL4MIS's form: the unlabelled crops alone, which the teacher alone sees. */
export const plainMeanTeacher = meanTeacherOn(unlabelledPart, {
  summary: "L = L_sup + L_pl + w(t) MSE(softmax student, softmax teacher) of the unlabelled crops.",
  names: { none: "Mean Teacher (unlabelled)", sam: "SFR Mean Teacher (unlabelled)" },
});
