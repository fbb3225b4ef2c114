/** Results that lie in memory as the weights do, in the axis order of the state dict. */
import type { Parameter } from "../../src/graph/optimizer.js";
import { type HostTensor, toFloat32 } from "../../src/io/host-tensor.js";
import type { Tensor } from "../../src/native/tensor.js";
import type { Stateful } from "./inputs.js";

/** Final minus start of the tensor `name` of two state dicts, in double; undefined when they lack it. */
export function travelled(
  start: ReadonlyMap<string, HostTensor>,
  final: ReadonlyMap<string, HostTensor>,
  name: string,
): Float64Array | undefined {
  const [before, after] = [start.get(name), final.get(name)];
  if (before === undefined || after === undefined) return undefined;
  const from = toFloat32(before);
  return Float64Array.from(toFloat32(after), (value, i) => value - (from[i] ?? Number.NaN));
}

/** The outputs `grad <name>` of a program by parameter, turned by writing them into the network for a moment. */
export function gradientsByName(
  network: Stateful,
  parameters: readonly Parameter[],
  outputs: Readonly<Record<string, Tensor>>,
): ReadonlyMap<string, Float32Array> {
  const weights = network.toState();
  for (const { name, tensor } of parameters)
    tensor.f32.set(outputs[`grad ${name}`]?.f32 ?? new Float32Array(tensor.count).fill(Number.NaN));
  const turned = network.toState();
  network.load(weights);
  return new Map(
    parameters.flatMap(({ name }) => {
      const tensor = turned.get(name);
      return tensor === undefined ? [] : [[name, toFloat32(tensor)] as const];
    }),
  );
}
