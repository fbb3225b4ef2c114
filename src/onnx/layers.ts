/** Lowerings of convolutions and linear layers. */
import type { GraphNode, Value } from "../graph/graph.js";
import { permuted } from "../graph/weights.js";
import { elementCount } from "../io/host-tensor.js";
import type { Lowered, Lowerer, Lowering } from "./lowering.js";
import { inputOf, listOf, shapeOf, type Weight, weightOf } from "./node-values.js";

/** A weight in another order of axes, under a shape whose product is the weight's. */
function reordered(l: Lowerer, weight: Weight, shape: readonly number[], order: readonly number[]): string {
  const turned = order.map((axis) => shape[axis] ?? 1);
  return l.constant(weight.name, turned, () => permuted(weight.values(), shape, order));
}

/** Name of an optional input that is a vector. */
function vector(l: Lowerer, node: GraphNode, index: number): string[] {
  const value = node.inputs[index];
  return value === undefined ? [] : [l.last(value)];
}

export const convolution: Lowering = (l, node) => {
  const weight = weightOf(node, 1);
  const kernel = weight.shape.slice(0, 3);
  const filter = reordered(l, weight, weight.shape, [4, 3, 0, 1, 2]);
  const margin = kernel.map((extent) => (extent - 1) / 2);
  const attributes = { kernel_shape: { ints: kernel }, pads: { ints: [...margin, ...margin] } };
  const inputs = [l.first(inputOf(node, 0)), filter, ...vector(l, node, 2)];
  return { name: l.node("Conv", inputs, { attributes }), form: "first" };
};

/** x [.., Cin] times a weight [Cin, Cout]: a convolution where x is channels first, else a matrix product. */
export const linear: Lowering = (l, node) => {
  const x = inputOf(node, 0);
  const { form } = l.natural(hiddenLayer(l, node)?.input ?? x);
  const ones = new Array<number>(x.shape.length - 2).fill(1);
  if (form === "first") return stridedConvolution(l, x, linearWeight(node), ones, vector(l, node, 2));
  return { name: product(l, node), form };
};

/** x and the linear layer before the GELU before a linear layer. */
function hiddenLayer(l: Lowerer, node: GraphNode): { layer: GraphNode; input: Value } | undefined {
  const gelu = l.producer(inputOf(node, 0), "gelu");
  if (gelu === undefined) return undefined;
  const between = inputOf(gelu, 0);
  const layer = l.producer(between, "linear") ?? l.producer(between, "linear_lora");
  return layer === undefined ? undefined : { layer, input: inputOf(layer, 0) };
}

/** A linear layer, together with the one before its GELU, some tokens at a time. */
function product(l: Lowerer, node: GraphNode): string {
  const hidden = hiddenLayer(l, node);
  const layers = hidden === undefined ? [node] : [hidden.layer, node];
  const x = hidden?.input ?? inputOf(node, 0);
  const [n = 1, ...inner] = x.shape.slice(0, -1);
  const tokens = elementCount(inner);
  const width = Math.max(...layers.map((layer) => shapeOf(layer).at(-1) ?? 1));
  const pieces = l.pieces(tokens, tokens * width);
  const weights = layers.map((layer) => {
    const { name, shape, values } = linearWeight(layer);
    return l.constant(name, shape, values);
  });
  const apply = (some: string): string =>
    layers.reduce((y, layer, i) => {
      const given = i === 0 ? y : l.node("Gelu", [y]);
      const multiplied = l.node("MatMul", [given, weights[i] ?? ""]);
      const bias = vector(l, layer, 2);
      return bias.length === 0 ? multiplied : l.node("Add", [multiplied, ...bias]);
    }, some);
  if (pieces === 1) return apply(l.last(x));
  const flat = l.split(l.reshape(l.last(x), [n, tokens, x.dim(-1)]), 1, pieces);
  return l.reshape(l.concat(flat.map(apply), 1), shapeOf(node));
}

/** Weight of a linear layer, LoRA's updates added. */
function linearWeight(node: GraphNode): Weight {
  const weight = weightOf(node, 1);
  if (node.op === "linear") return weight;
  const updates = listOf(node, "begins").map((begin, i) => ({
    begin,
    a: weightOf(node, 3 + 2 * i),
    b: weightOf(node, 4 + 2 * i),
  }));
  const merged = () => {
    const values = Float32Array.from(weight.values());
    const [inputs = 0, out = 0] = weight.shape;
    for (const { begin, a, b } of updates) {
      const [rank = 0, width = 0] = b.shape;
      const [left, right] = [a.values(), b.values()];
      for (let row = 0; row < inputs; row++)
        for (let column = 0; column < width; column++) {
          let sum = 0;
          for (let r = 0; r < rank; r++)
            sum += (left[row * rank + r] ?? 0) * (right[r * width + column] ?? 0);
          values[row * out + begin + column] = (values[row * out + begin + column] ?? 0) + sum;
        }
    }
    return values;
  };
  return { ...weight, values: merged };
}

const isChannelsFirst = (l: Lowerer, x: Value): boolean => l.natural(x).form === "first";

/** Convolution whose kernel and stride are `block`; weight [block.., Cin, Cout]. */
function stridedConvolution(
  l: Lowerer,
  x: Value,
  weight: Weight,
  block: readonly number[],
  bias: readonly string[],
): Lowered {
  const axes = block.map((_, axis) => axis);
  const rank = block.length;
  const filter = reordered(l, weight, [...block, x.dim(-1), weight.shape[1] ?? 1], [rank + 1, rank, ...axes]);
  const attributes = { kernel_shape: { ints: block }, strides: { ints: block } };
  return { name: l.node("Conv", [l.first(x), filter, ...bias], { attributes }), form: "first" };
}

export const strided: Lowering = (l, node) =>
  stridedConvolution(l, inputOf(node, 0), weightOf(node, 1), listOf(node, "block"), vector(l, node, 2));

export const transposed: Lowering = (l, node) =>
  transposedConvolution(l, node, listOf(node, "block"), vector(l, node, 2));

/** Blocks of an image as tokens. */
export const spaceToDepth: Lowering = (l, node) => {
  const [n = 1, d = 1, h = 1, w = 1, c = 1] = inputOf(node, 0).shape;
  const [bd = 1, bh = 1, bw = 1] = listOf(node, "block");
  const split = l.reshape(l.last(inputOf(node, 0)), [n, d / bd, bd, h / bh, bh, w / bw, bw, c]);
  const moved = l.transpose(split, [0, 1, 3, 5, 2, 4, 6, 7]);
  return { name: l.reshape(moved, shapeOf(node)), form: "last" };
};

export const depthToSpace: Lowering = (l, node) => {
  const x = inputOf(node, 0);
  const [bd = 1, bh = 1, bw = 1] = listOf(node, "block");
  const product = l.producer(x, "linear");
  if (product !== undefined && product.inputs[2] === undefined && isChannelsFirst(l, inputOf(product, 0)))
    return transposedConvolution(l, product, [bd, bh, bw], vector(l, node, 1));
  const [n = 1, d = 1, h = 1, w = 1] = x.shape;
  const shape = shapeOf(node);
  const split = l.reshape(l.last(x), [n, d, h, w, bd, bh, bw, shape[4] ?? 1]);
  const moved = l.reshape(l.transpose(split, [0, 1, 4, 2, 5, 3, 6, 7]), shape);
  const bias = vector(l, node, 1);
  return { name: bias.length === 0 ? moved : l.node("Add", [moved, ...bias]), form: "last" };
};

/** The product of a node's input and its weight [Cin, block.., Cout], and the scatter of the blocks. */
function transposedConvolution(
  l: Lowerer,
  product: GraphNode,
  block: readonly number[],
  bias: readonly string[],
): Lowered {
  const weight = weightOf(product, 1);
  const [inputs = 1, columns = 1] = weight.shape;
  const out = columns / block.reduce((count, extent) => count * extent, 1);
  const filter = reordered(l, weight, [inputs, ...block, out], [0, 4, 1, 2, 3]);
  const attributes = { kernel_shape: { ints: block }, strides: { ints: block } };
  const inputNames = [l.first(inputOf(product, 0)), filter, ...bias];
  return { name: l.node("ConvTranspose", inputNames, { attributes }), form: "first" };
}
