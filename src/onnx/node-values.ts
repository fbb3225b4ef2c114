/** What a lowering reads of a node of our graph. */
import { SfrError, UsageError } from "../errors.js";
import type { GraphNode, Value } from "../graph/graph.js";

/** Input `index` of a node. */
export function inputOf(node: GraphNode, index: number): Value {
  const value = node.inputs[index];
  if (value === undefined) throw fault(node, `an input ${index}`);
  return value;
}

/** Shape of a node's first output. */
export function shapeOf(node: GraphNode): readonly number[] {
  const [value] = node.outputs;
  if (value === undefined) throw fault(node, "an output");
  return value.shape;
}

/** Whole number or real number of an attribute. */
export function numberOf(node: GraphNode, attribute: string): number {
  const value = node.attributes[attribute];
  if (typeof value !== "number") throw fault(node, `a number as ${attribute}`);
  return value;
}

/** List of numbers of an attribute. */
export function listOf(node: GraphNode, attribute: string): readonly number[] {
  const value = node.attributes[attribute];
  if (typeof value !== "object") throw fault(node, `a list as ${attribute}`);
  return value;
}

/** A tensor of the network, whose values are known before the file runs. */
export interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  values(): Float32Array;
}

/** Input `index` of a node. @throws UsageError when it is computed by the network */
export function weightOf(node: GraphNode, index: number): Weight {
  const value = inputOf(node, index);
  const origin = value.graph.origin(value);
  if (origin.kind !== "state")
    throw new UsageError(
      `onnx: expected a weight as input ${index} of ${node.op} at '${node.name}', received a computed value; ` +
        "its lowering knows weights only",
    );
  return { name: origin.name, shape: value.shape, values: () => origin.tensor.f32 };
}

function fault(node: GraphNode, expected: string): SfrError {
  return new SfrError(
    "internal",
    `onnx: expected ${expected} of ${node.op} at '${node.name}', received none`,
  );
}
