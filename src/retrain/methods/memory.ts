import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import { vectorSpec } from "../../graph/weights.js";
import type { StepContext } from "./method.js";

/** A vector that a method keeps from step to step, zero at the start and part of checkpoints: its value before the step. */
export function memory(step: StepContext, name: string, length: number): Value {
  const spec = vectorSpec(length, { kind: "constant", value: 0 }, "buffer");
  return step.graph.persistent(step.network("memory").tensor(name, spec), name);
}

/** Sets vectors of `memory` to what they are after the step. */
export function remember(step: StepContext, kept: readonly { vector: Value; next: Value }[]): void {
  const replace = ops.fill(step.graph, [], 0);
  ops.ema(
    replace,
    kept.map(({ vector, next }) => ({ teacher: vector, student: next })),
  );
}
