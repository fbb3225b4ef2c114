/** Results that lie in memory as the weights do, in the axis order of the state dict. */
import type { Parameter } from "../../src/graph/optimizer.js";
import { type HostTensor, toFloat32 } from "../../src/io/host-tensor.js";
import type { Stateful } from "./inputs.js";

/** A state dict: tensors by name. */
export type State = ReadonlyMap<string, HostTensor>;

/** The tensors of `state` whose names start with `prefix`, without it. */
export function part(state: State, prefix: string): Map<string, HostTensor> {
  return new Map(
    [...state].flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
    ),
  );
}

/** Final minus start of the tensor `name` of two state dicts, in double; undefined when they lack it. */
export function travelled(start: State, final: State, name: string): Float64Array | undefined {
  const [before, after] = [start.get(name), final.get(name)];
  if (before === undefined || after === undefined) return undefined;
  const from = toFloat32(before);
  return Float64Array.from(toFloat32(after), (value, i) => value - (from[i] ?? Number.NaN));
}

/**
 * Gradients by parameter in the order of the state dict. `gradient` gives them as the parameters lie in memory; they
 * are turned by writing them into the network for a moment.
 */
export function gradientsByName(
  network: Stateful,
  parameters: readonly Parameter[],
  gradient: (name: string) => ArrayLike<number> | undefined,
): ReadonlyMap<string, Float32Array> {
  const weights = network.toState();
  for (const { name, tensor } of parameters)
    tensor.f32.set(gradient(name) ?? new Float32Array(tensor.count).fill(Number.NaN));
  const turned = network.toState();
  network.load(weights);
  return new Map(
    parameters.flatMap(({ name }) => {
      const tensor = turned.get(name);
      return tensor === undefined ? [] : [[name, toFloat32(tensor)] as const];
    }),
  );
}
