/** One lowering per op of our graph to nodes of ONNX; what is not in the table cannot be exported. */
import type { GraphNode, Value } from "../graph/graph.js";
import { attention, gridAttention } from "./attention.js";
import { convolution, depthToSpace, linear, spaceToDepth, strided, transposed } from "./layers.js";
import { axisIn, type Lowered, type Lowerer, type Lowering } from "./lowering.js";
import { inputOf, listOf, numberOf, shapeOf, weightOf } from "./node-values.js";

/** An op whose result has at each place what it makes of the element there: either form will do. */
const elementwise =
  (op: string): Lowering =>
  (l, node) => {
    const { name, form } = l.natural(inputOf(node, 0));
    return { name: l.node(op, [name]), form };
  };

const add: Lowering = (l, node) => {
  const [a, b] = [inputOf(node, 0), inputOf(node, 1)];
  // A suffix of the shape is broadcast by ONNX when the channels are last.
  const form = a.shape.join() === b.shape.join() ? l.natural(a).form : "last";
  return { name: l.node("Add", [l.inForm(a, form), l.inForm(b, form)]), form };
};

const affine: Lowering = (l, node) => {
  const { name, form } = l.natural(inputOf(node, 0));
  const number = (key: "factor" | "offset") => {
    const value = numberOf(node, key);
    return l.constant(`${key}_${value}`, [1], () => Float32Array.of(value));
  };
  return { name: l.node("Add", [l.node("Mul", [name, number("factor")]), number("offset")]), form };
};

const reshape: Lowering = (l, node) => {
  const merged = resizedAlongThreeAxes(l, node);
  if (merged !== undefined) return merged;
  const [x, shape] = [inputOf(node, 0), shapeOf(node)];
  const { name, form } = l.natural(x);
  const [batch = 1, channels = 1] = [shape[0], shape.at(-1)];
  if (form === "first" && x.dim(0) === batch && x.dim(-1) === channels)
    return { name: l.reshape(name, [batch, channels, ...shape.slice(1, -1)]), form };
  return { name: l.reshape(l.last(x), shape), form: "last" };
};

/** The chain of nodes that resizeTrilinear of ops.ts builds, which ends in a reshape, as one node. */
function resizedAlongThreeAxes(l: Lowerer, node: GraphNode): Lowered | undefined {
  const before = (after: GraphNode | undefined, op: string) => after && l.producer(inputOf(after, 0), op);
  const plane = before(node, "resize_bilinear");
  const slices = before(plane, "reshape");
  const depth = before(slices, "resize_bilinear");
  const flat = before(depth, "reshape");
  if (plane === undefined || slices === undefined || depth === undefined || flat === undefined)
    return undefined;
  const x = inputOf(flat, 0);
  const [n = 0, d = 0, h = 0, w = 0, c = 0] = x.shape;
  const shape = shapeOf(node);
  const [, newDepth = 0, newHeight = 0, newWidth = 0] = shape;
  const chain = [shapeOf(flat), shapeOf(depth), shapeOf(slices), shapeOf(plane), shape];
  const expected = [
    [n, d, h * w, c],
    [n, newDepth, h * w, c],
    [n * newDepth, h, w, c],
    [n * newDepth, newHeight, newWidth, c],
    [n, newDepth, newHeight, newWidth, c],
  ];
  return chain.join(";") === expected.join(";") ? resize(l, x, shape.slice(1, -1)) : undefined;
}

const resizeBilinear: Lowering = (l, node) => resize(l, inputOf(node, 0), listOf(node, "size"));

/** x with other extents between batch and channels; half-pixel centres, linear along each axis. */
function resize(l: Lowerer, x: Value, size: readonly number[]): Lowered {
  const attributes = { mode: { text: "linear" }, axes: { ints: size.map((_, i) => i + 2) } };
  return { name: l.node("Resize", [l.first(x), "", "", l.integers(size)], { attributes }), form: "first" };
}

const concat: Lowering = (l, node) => {
  const { form } = l.natural(inputOf(node, 0));
  const axis = axisIn(form, numberOf(node, "axis"), shapeOf(node).length);
  const names = node.inputs.map((_, i) => l.inForm(inputOf(node, i), form));
  return { name: l.concat(names, axis), form };
};

const slice: Lowering = (l, node) => {
  const { name, form } = l.natural(inputOf(node, 0));
  const axis = axisIn(form, numberOf(node, "axis"), shapeOf(node).length);
  const range = [numberOf(node, "begin"), numberOf(node, "end"), axis].map((value) => l.integers([value]));
  return { name: l.node("Slice", [name, ...range]), form };
};

const broadcastTo: Lowering = (l, node) => ({
  name: l.node("Expand", [l.last(inputOf(node, 0)), l.shape(shapeOf(node))]),
  form: "last",
});

const matmul: Lowering = (l, node) => {
  const side = (index: number, transposed: boolean) => {
    const name = l.last(inputOf(node, index));
    return transposed ? l.transpose(name, [0, 2, 1]) : name;
  };
  const { transposeA, transposeB } = node.attributes;
  return {
    name: l.node("MatMul", [side(0, transposeA === true), side(1, transposeB === true)]),
    form: "last",
  };
};

const batchNorm: Lowering = (l, node) => {
  const state = [1, 2, 3, 4].map((index) => l.last(inputOf(node, index)));
  const attributes = { epsilon: { float: numberOf(node, "epsilon") } };
  return {
    name: l.node("BatchNormalization", [l.first(inputOf(node, 0)), ...state], { attributes }),
    form: "first",
  };
};

const instanceNorm: Lowering = (l, node) => {
  const channels = inputOf(node, 0).dim(-1);
  const same = (name: string, value: number) =>
    l.constant(`${name}_${channels}`, [channels], () => new Float32Array(channels).fill(value));
  const attributes = { epsilon: { float: numberOf(node, "epsilon") } };
  const inputs = [l.first(inputOf(node, 0)), same("ones", 1), same("zeros", 0)];
  return { name: l.node("InstanceNormalization", inputs, { attributes }), form: "first" };
};

const layerNorm: Lowering = (l, node) => {
  const attributes = { axis: { int: -1 }, epsilon: { float: numberOf(node, "epsilon") } };
  const inputs = [0, 1, 2].map((index) => l.last(inputOf(node, index)));
  return { name: l.node("LayerNormalization", inputs, { attributes }), form: "last" };
};

const maxPool: Lowering = (l, node) => {
  const attributes = { kernel_shape: { ints: [2, 2, 2] }, strides: { ints: [2, 2, 2] } };
  return { name: l.node("MaxPool", [l.first(inputOf(node, 0))], { attributes }), form: "first" };
};

/** Depends on a weight alone, so its values stand in the file. Formula: cpp/ops/fourier_positions. */
const fourierPositions: Lowering = (l, node) => {
  const matrix = weightOf(node, 0);
  const shape = shapeOf(node);
  const [height = 0, width = 0, channels = 0] = shape;
  const make = () => {
    const weights = matrix.values();
    const values = new Float32Array(height * width * channels);
    const features = channels / 2;
    for (let i = 0; i < values.length; i++) {
      const [pixel, channel] = [Math.floor(i / channels), i % channels];
      const across = (((pixel % width) + 0.5) / width) * 2 - 1;
      const down = ((Math.floor(pixel / width) + 0.5) / height) * 2 - 1;
      const feature = channel % features;
      const angle =
        2 * Math.PI * (across * (weights[feature] ?? 0) + down * (weights[features + feature] ?? 0));
      values[i] = channel < features ? Math.sin(angle) : Math.cos(angle);
    }
    return values;
  };
  return { name: l.constant(`${matrix.name}/positions`, shape, make), form: "last" };
};

export const lowerings: Readonly<Record<string, Lowering>> = {
  add,
  affine,
  attention,
  batch_norm: batchNorm,
  broadcast_to: broadcastTo,
  concat,
  conv3d: convolution,
  depth_to_space: depthToSpace,
  fourier_positions: fourierPositions,
  gelu: elementwise("Gelu"),
  grid_attention: gridAttention,
  instance_norm: instanceNorm,
  layer_norm: layerNorm,
  linear,
  linear_lora: linear,
  matmul,
  max_pool3d: maxPool,
  relu: elementwise("Relu"),
  reshape,
  resize_bilinear: resizeBilinear,
  slice,
  space_to_depth: spaceToDepth,
  strided_conv3d: strided,
  transposed_conv3d: transposed,
};
