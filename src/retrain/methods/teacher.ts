import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import type { WeightSet } from "../../graph/weights.js";
import { consistencyWeight, emaDecayAt } from "../schedule.js";
import type { StepContext } from "./method.js";

/** Standard deviation and clipping bound of the noise on the teacher's input, in units of the z-scored image. */
const noise = { scale: 0.1, limit: 0.2 } as const;

/** x + clip(0.1 N(0, 1), +-0.2) from the stream `name`. */
export function withNoise(step: StepContext, x: Value, name: string): Value {
  return ops.add(x, step.noise(name, x.shape, noise));
}

/** The unsupervised term's weight w(t), ramped up over the training. */
export function rampedWeight(step: StepContext): Value {
  const { steps, consistency } = step.settings;
  return step.scalar("consistencyWeight", (t) => consistencyWeight(t, steps, consistency));
}

/**
 * Moves the teacher towards the student: theta' = a theta' + (1 - a) theta over the learnable tensors, a = min(1 -
 * 1/(t+1), emaDecay), or emaDecay from the first step on where `warmUp` is false. Batch-norm statistics are not averaged.
 */
export function followStudent(step: StepContext, teacher: WeightSet, warmUp = true): void {
  const { graph, settings, student } = step;
  const alpha = step.scalar("emaDecay", (t) =>
    warmUp ? emaDecayAt(t, settings.emaDecay) : settings.emaDecay,
  );
  ops.ema(
    alpha,
    student.withRole("parameter").map(({ name, tensor }) => ({
      teacher: graph.persistent(teacher.get(name), name),
      student: graph.persistent(tensor, name),
    })),
  );
}
