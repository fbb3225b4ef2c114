import { DataError } from "../errors.js";
import type { HostTensor } from "../io/host-tensor.js";
import { toFloat32 } from "../io/host-tensor.js";
import { Tensor } from "../native/tensor.js";
import type { Graph, Value } from "./graph.js";
import * as ops from "./ops.js";

/** A tensor that is trained, with its name. */
export interface Parameter {
  name: string;
  tensor: Tensor;
}

/** Optimiser settings; the learning rate is a value of the graph. */
export type OptimizerSettings =
  | { kind: "sgd"; momentum: number; weightDecay: number }
  | { kind: "adamw"; beta1: number; beta2: number; epsilon: number; weightDecay: number };

/** AdamW as the SFR authors use it. */
export const adamWDefaults = { kind: "adamw", beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** Running averages that an optimiser keeps for each parameter. */
export class OptimizerState implements Disposable {
  private readonly moments = new Map<string, Tensor>();

  /** The tensor `kind/name`, zero at the start. */
  tensor(kind: string, parameter: Parameter): Tensor {
    const key = `${kind}/${parameter.name}`;
    let tensor = this.moments.get(key);
    if (tensor === undefined) {
      tensor = Tensor.zeros("f32", parameter.tensor.shape);
      this.moments.set(key, tensor);
    }
    return tensor;
  }

  /** All tensors for a checkpoint, in memory order: their own memory, not copies. */
  toState(): Map<string, HostTensor> {
    return new Map(
      [...this.moments].map(([name, t]) => [name, { dtype: "f32", shape: [...t.shape], data: t.f32 }]),
    );
  }

  /** Throws DataError when a tensor of the checkpoint is missing or of another size. */
  load(state: ReadonlyMap<string, HostTensor>): void {
    for (const [name, tensor] of this.moments) {
      const given = state.get(name);
      if (given === undefined || given.data.length !== tensor.count)
        throw new DataError(
          `checkpoint: expected ${tensor.count} values for ${name}, received ${given?.data.length ?? "none"}`,
        );
      tensor.f32.set(toFloat32(given));
    }
  }

  /** Back to zero, as at the start. */
  reset(): void {
    for (const tensor of this.moments.values()) tensor.f32.fill(0);
  }

  dispose(): void {
    for (const tensor of this.moments.values()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Adds the gradients of `loss` and one optimiser update of all parameters to the graph.
 *
 * @param step number of the update from 1, f32 []; AdamW's bias correction needs it
 */
export function minimize(
  graph: Graph,
  loss: Value,
  parameters: readonly Parameter[],
  state: OptimizerState,
  settings: OptimizerSettings,
  learningRate: Value,
  step: Value,
): void {
  const values = parameters.map(({ name, tensor }) => graph.persistent(tensor, name));
  const gradients = graph.gradients(loss, values);
  const moment = (kind: string, parameter: Parameter) =>
    graph.persistent(state.tensor(kind, parameter), `${kind}/${parameter.name}`);
  const slots = parameters.flatMap((parameter, i) => {
    const [value, gradient] = [values[i], gradients[i]];
    return value === undefined || gradient === undefined ? [] : [{ parameter, value, gradient }];
  });
  if (settings.kind === "sgd") {
    const { momentum, weightDecay } = settings;
    ops.sgd(
      learningRate,
      slots.map((s) => ({
        parameter: s.value,
        gradient: s.gradient,
        momentum: moment("momentum", s.parameter),
      })),
      { momentum, weightDecay },
    );
    return;
  }
  const { kind: _, ...adamw } = settings;
  ops.adamw(
    learningRate,
    step,
    slots.map((s) => ({
      parameter: s.value,
      gradient: s.gradient,
      first: moment("first", s.parameter),
      second: moment("second", s.parameter),
    })),
    adamw,
  );
}
