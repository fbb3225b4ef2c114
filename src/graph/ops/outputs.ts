/** Outputs of the nodes that the builders add. */
import { UsageError } from "../../errors.js";
import type { Value } from "../graph.js";

/** Of an op with one output. */
export function only(values: readonly Value[]): Value {
  const [value] = values;
  if (value === undefined || values.length !== 1)
    throw new UsageError(`graph: expected an op with one output, received ${values.length}`);
  return value;
}

/** Of an op whose further outputs are for its gradient. */
export function first(values: readonly Value[]): Value {
  const [value] = values;
  if (value === undefined) throw new UsageError("graph: expected an op with outputs, received none");
  return value;
}

/** Of an op with several outputs. */
export function named<Name extends string>(
  values: readonly Value[],
  names: readonly Name[],
): Record<Name, Value> {
  if (values.length !== names.length)
    throw new UsageError(`graph: expected an op with ${names.length} outputs, received ${values.length}`);
  return Object.fromEntries(names.map((name, i) => [name, values[i]])) as Record<Name, Value>;
}
