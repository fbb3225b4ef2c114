/** Builders of elementwise ops, reductions and changes of shape. */
import { UsageError } from "../../errors.js";
import type { Graph, Value } from "../graph.js";
import { only } from "./outputs.js";

/** a + b; b has a's shape, a suffix of it, or is a scalar. */
export const add = (a: Value, b: Value): Value => only(a.graph.node("add", [a, b]));
/** a - b; shapes as in add. */
export const subtract = (a: Value, b: Value): Value => only(a.graph.node("subtract", [a, b]));
/** a * b; shapes as in add. */
export const multiply = (a: Value, b: Value): Value => only(a.graph.node("multiply", [a, b]));
/** a / b, IEEE; shapes as in add. */
export const divide = (a: Value, b: Value): Value => only(a.graph.node("divide", [a, b]));
/** factor * x + offset. */
export const affine = (x: Value, factor: number, offset = 0): Value =>
  only(x.graph.node("affine", [x], { factor, offset }));
/** Sum of all elements -> []. */
export const sum = (x: Value): Value => only(x.graph.node("sum", [x]));
/** Sum over the leading axes -> shape, a suffix of x's. */
export const sumTo = (x: Value, shape: readonly number[]): Value =>
  only(x.graph.node("sum_to", [x], { shape }));
/** x [..suffix] repeated over leading axes -> shape. */
export const broadcastTo = (x: Value, shape: readonly number[]): Value =>
  only(x.graph.node("broadcast_to", [x], { shape }));
/** x, through which no gradient flows. */
export const stopGradient = (x: Value): Value => only(x.graph.node("stop_gradient", [x]));
/** A constant f32 tensor. */
export const fill = (graph: Graph, shape: readonly number[], value: number): Value =>
  only(graph.node("fill", [], { shape, value }));
/** e^x. */
export const exp = (x: Value): Value => only(x.graph.node("exp", [x]));
/** Natural logarithm; -inf for 0, NaN below. */
export const log = (x: Value): Value => only(x.graph.node("log", [x]));
/** 1 where x >= threshold [], else 0; no gradient. */
export const atLeast = (x: Value, threshold: Value): Value => only(x.graph.node("at_least", [x, threshold]));
/** Largest of the last axis: [..,C] -> [..]; no gradient. */
export const rowMax = (x: Value): Value => only(x.graph.node("row_max", [x]));
/** 1 at the `count` lowest x among those whose mask (as x) is not 0, else 0; no gradient. */
export const lowest = (x: Value, mask: Value, count: number): Value =>
  only(x.graph.node("lowest", [x, mask], { count }));
/** Sum over the last axis of a * b: [..,C] and [..,C] -> [..]. */
export const dotRows = (a: Value, b: Value): Value => only(a.graph.node("dot_rows", [a, b]));
/** x [..,C] times factor [..]. */
export const scaleRows = (x: Value, factor: Value): Value => only(x.graph.node("scale_rows", [x, factor]));
export const relu = (x: Value): Value => only(x.graph.node("relu", [x]));
/** 1 / (1 + e^-x). */
export const sigmoid = (x: Value): Value => only(x.graph.node("sigmoid", [x]));
export const tanh = (x: Value): Value => only(x.graph.node("tanh", [x]));
/** x * Phi(x), the erf form. */
export const gelu = (x: Value): Value => only(x.graph.node("gelu", [x]));

// ---- shapes

/** The same elements under another shape of equal count; costs nothing. */
export const reshape = (x: Value, shape: readonly number[]): Value =>
  only(x.graph.node("reshape", [x], { shape }));
/** Joins along `axis`. */
export const concat = (inputs: readonly Value[], axis: number): Value => {
  const [head] = inputs;
  if (head === undefined) throw new UsageError("concat: expected at least one value, received none");
  return only(head.graph.node("concat", inputs, { axis }));
};
/** Elements [begin, end) along `axis`. */
export const slice = (x: Value, axis: number, begin: number, end: number): Value =>
  only(x.graph.node("slice", [x], { axis, begin, end }));
/** [N,D,H,W,C] -> [N,D/bd,H/bh,W/bw,bd*bh*bw*C]. */
export const spaceToDepth = (x: Value, block: readonly [number, number, number]): Value =>
  only(x.graph.node("space_to_depth", [x], { block }));
/** [N,D,H,W,bd*bh*bw*C] -> [N,D*bd,H*bh,W*bw,C] (+ bias [C]). */
export const depthToSpace = (x: Value, block: readonly [number, number, number], bias?: Value): Value =>
  only(x.graph.node("depth_to_space", [x, bias], { block }));
