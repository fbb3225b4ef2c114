import * as ops from "../../graph/ops.js";
import { consistencyWeight, emaDecayAt } from "../schedule.js";
import type { Method } from "./method.js";
import { labelledAndPseudoLabelled } from "./supervised.js";

/** Standard deviation and clipping bound of the noise on the teacher's input, in units of the z-scored image. */
const noise = { scale: 0.1, limit: 0.2 } as const;

/**
 * Mean Teacher (Tarvainen & Valpola 2017) in SFR's form: consistency over labelled and unlabelled crops. The teacher
 * starts as a network of its own (the first update copies the student), stays in training mode, sees noisy crops, and
 * gets a moving average of the student's learnable tensors; its batch-norm statistics are its own.
 */
export const meanTeacher: Method = {
  summary: "L = L_sup + L_pl + w(t) MSE(softmax student, softmax teacher); teacher = EMA of the student.",
  usesUnlabelled: true,
  losses(step) {
    const { graph, settings } = step;
    const { logits, total, terms } = labelledAndPseudoLabelled(step);
    const teacher = step.network("teacher");
    const noisy = ops.add(step.images, step.noise("teacher/noise", step.images.shape, noise));
    const target = ops.stopGradient(ops.softmax(step.forward(teacher, noisy)));
    const consistency = ops.meanSquaredError(ops.softmax(logits), target);
    const weight = step.scalar("consistencyWeight", (t) =>
      consistencyWeight(t, settings.steps, settings.consistency),
    );
    return {
      total: ops.add(total, ops.multiply(consistency, weight)),
      terms: { ...terms, consistency },
      afterUpdate() {
        const alpha = step.scalar("emaDecay", (t) => emaDecayAt(t, settings.emaDecay));
        ops.ema(
          alpha,
          step.student.withRole("parameter").map(({ name, tensor }) => ({
            teacher: graph.persistent(teacher.get(name), name),
            student: graph.persistent(tensor, name),
          })),
        );
      },
    };
  },
};
