/** Layers: ops with their weights, by state-dict names. */
import type { Precision } from "../native/native.js";
import type { Graph, Value } from "./graph.js";
import * as ops from "./ops.js";
import {
  fanInUniform,
  type Initial,
  plainSpec,
  vectorSpec,
  type WeightSet,
  type WeightSpec,
} from "./weights.js";

/** Where a network is built: its graph, its weights and how it behaves in this call. */
export interface NetworkContext {
  graph: Graph;
  weights: WeightSet;
  /** Batch statistics and dropout (true), or running statistics and none (false). */
  training: boolean;
  /** Whether batch-norm statistics move; ignored when not training. */
  updateStatistics: boolean;
  /** i32 [3] = seed words and step; needed for dropout when training. */
  rng?: Value;
  /** Of the weights of linear layers that nobody trains and that take most of the time; default f32. */
  frozenLinear?: Precision;
}

/** The weight `name` as a value of the context's graph. */
export function weight(ctx: NetworkContext, name: string, spec: WeightSpec): Value {
  return ctx.graph.persistent(ctx.weights.tensor(name, spec), name);
}

/** Weight [in, out] and bias [out] of torch.nn.Linear; `initial` of both, PyTorch's by default. */
export function linearWeights(
  ctx: NetworkContext,
  name: string,
  inputs: number,
  out: number,
  dtype: Precision = "f32",
  initial = fanInUniform(inputs),
): { weight: Value; bias: Value } {
  const w = weight(ctx, `${name}.weight`, {
    shape: [inputs, out],
    torchShape: [out, inputs],
    order: [1, 0],
    initial,
    dtype,
    role: "parameter",
  });
  return { weight: w, bias: weight(ctx, `${name}.bias`, vectorSpec(out, initial)) };
}

/** torch.nn.Linear: x [..,in] -> [..,out]; `initial` as in linearWeights. */
export function linearLayer(
  ctx: NetworkContext,
  x: Value,
  name: string,
  out: number,
  initial?: Initial,
): Value {
  const { weight: w, bias } = linearWeights(ctx, name, x.dim(-1), out, "f32", initial);
  return ops.linear(x, w, bias);
}

/** torch.nn.LayerNorm over the last axis (and segment-anything's LayerNorm2d, channels being last here). */
export function layerNormLayer(ctx: NetworkContext, x: Value, name: string, epsilon: number): Value {
  const w = weight(ctx, `${name}.weight`, vectorSpec(x.dim(-1), { kind: "constant", value: 1 }));
  const b = weight(ctx, `${name}.bias`, vectorSpec(x.dim(-1), { kind: "constant", value: 0 }));
  return ops.layerNorm(x, w, b, epsilon);
}

/** torch.nn.BatchNorm3d. */
export function batchNormLayer(ctx: NetworkContext, x: Value, name: string): Value {
  const channels = x.dim(-1);
  const vector = (key: string, value: number, role: WeightSpec["role"]) =>
    weight(ctx, `${name}.${key}`, vectorSpec(channels, { kind: "constant", value }, role));
  return ops.batchNorm(
    x,
    {
      weight: vector("weight", 1, "parameter"),
      bias: vector("bias", 0, "parameter"),
      runningMean: vector("running_mean", 0, "buffer"),
      runningVariance: vector("running_var", 1, "buffer"),
    },
    { training: ctx.training, updateStatistics: ctx.updateStatistics },
  );
}

/**
 * torch.nn.Conv3d with odd kernel, stride 1 and same padding: x [N,D,H,W,in] -> [N,D,H,W,out]. The file's axes are
 * [out, in, H, W, D] = [out, in, x, y, z]; in memory the weight stands as [z, y, x, in, out]. `start` gives the weight's
 * first values by fan-in.
 */
export function conv3dLayer(
  ctx: NetworkContext,
  x: Value,
  name: string,
  out: number,
  kernel: number,
  start = fanInUniform,
): Value {
  const inputs = x.dim(-1);
  const fanIn = inputs * kernel ** 3;
  const w = weight(ctx, `${name}.weight`, {
    shape: [kernel, kernel, kernel, inputs, out],
    torchShape: [out, inputs, kernel, kernel, kernel],
    order: [4, 3, 2, 1, 0],
    initial: start(fanIn),
    role: "parameter",
  });
  return ops.conv3d(x, w, weight(ctx, `${name}.bias`, vectorSpec(out, fanInUniform(fanIn))));
}

/** torch.nn.Conv3d with kernel 2 and stride 2: x [N,D,H,W,in] -> [N,D/2,H/2,W/2,out]. */
export function downConv3dLayer(ctx: NetworkContext, x: Value, name: string, out: number): Value {
  const inputs = x.dim(-1);
  const initial = fanInUniform(inputs * 8);
  const w = weight(ctx, `${name}.weight`, {
    shape: [8 * inputs, out],
    torchShape: [out, inputs, 2, 2, 2],
    order: [4, 3, 2, 1, 0],
    initial,
    role: "parameter",
  });
  return ops.stridedConv3d(x, w, [2, 2, 2], weight(ctx, `${name}.bias`, vectorSpec(out, initial)));
}

/** torch.nn.ConvTranspose3d with kernel 2 and stride 2: x [N,D,H,W,in] -> [N,2D,2H,2W,out]. */
export function upConv3dLayer(ctx: NetworkContext, x: Value, name: string, out: number): Value {
  const inputs = x.dim(-1);
  const initial = fanInUniform(out * 8); // PyTorch counts the second axis of a transposed kernel as fan-in
  const w = weight(ctx, `${name}.weight`, {
    shape: [inputs, 8 * out],
    torchShape: [inputs, out, 2, 2, 2],
    order: [0, 4, 3, 2, 1],
    initial,
    role: "parameter",
  });
  const bias = weight(ctx, `${name}.bias`, vectorSpec(out, initial));
  return ops.transposedConv3d(x, w, [2, 2, 2], bias);
}

/** torch.nn.Conv2d with odd kernel, stride 1, same padding, no bias: x [N,H,W,in] -> [N,H,W,out]. */
export function conv2dLayer(ctx: NetworkContext, x: Value, name: string, out: number, kernel: number): Value {
  const [n, h, w, inputs] = [x.dim(0), x.dim(1), x.dim(2), x.dim(3)];
  const filter = weight(ctx, `${name}.weight`, {
    shape: [1, kernel, kernel, inputs, out],
    torchShape: [out, inputs, kernel, kernel],
    order: [2, 3, 1, 0],
    initial: fanInUniform(inputs * kernel ** 2),
    role: "parameter",
  });
  return ops.reshape(ops.conv3d(ops.reshape(x, [n, 1, h, w, inputs]), filter), [n, h, w, out]);
}

/** torch.nn.Conv2d with kernel = stride = `size`: x [N,H,W,in] -> [N,H/size,W/size,out]. */
export function patchConv2dLayer(
  ctx: NetworkContext,
  x: Value,
  name: string,
  out: number,
  size: number,
): Value {
  const [n, h, w, inputs] = [x.dim(0), x.dim(1), x.dim(2), x.dim(3)];
  const initial = fanInUniform(inputs * size ** 2);
  const filter = weight(ctx, `${name}.weight`, {
    shape: [size * size * inputs, out],
    torchShape: [out, inputs, size, size],
    order: [2, 3, 1, 0],
    initial,
    role: "parameter",
  });
  const blocks = ops.spaceToDepth(ops.reshape(x, [n, 1, h, w, inputs]), [1, size, size]);
  const y = ops.linear(blocks, filter, weight(ctx, `${name}.bias`, vectorSpec(out, initial)));
  return ops.reshape(y, [n, h / size, w / size, out]);
}

/** torch.nn.ConvTranspose2d with kernel 2 and stride 2: x [N,H,W,in] -> [N,2H,2W,out]. */
export function upConv2dLayer(ctx: NetworkContext, x: Value, name: string, out: number): Value {
  const [n, h, w, inputs] = [x.dim(0), x.dim(1), x.dim(2), x.dim(3)];
  const initial = fanInUniform(out * 4);
  const filter = weight(ctx, `${name}.weight`, {
    shape: [inputs, 4 * out],
    torchShape: [inputs, out, 2, 2],
    order: [0, 2, 3, 1],
    initial,
    role: "parameter",
  });
  const bias = weight(ctx, `${name}.bias`, vectorSpec(out, initial));
  const y = ops.linear(ops.reshape(x, [n, 1, h, w, inputs]), filter);
  return ops.reshape(ops.depthToSpace(y, [1, 2, 2], bias), [n, 2 * h, 2 * w, out]);
}

/** A learned table that stands in memory as in the file. */
export function tableLayer(
  ctx: NetworkContext,
  name: string,
  shape: readonly number[],
  initial: "zeros" | "normal",
): Value {
  return weight(
    ctx,
    name,
    plainSpec(shape, initial === "zeros" ? { kind: "constant", value: 0 } : { kind: "normal", scale: 1 }),
  );
}

/**
 * torch.nn.Conv2d / Conv3d with a kernel of 1: a linear layer whose file shape has `axes` trailing ones; `start` as in
 * conv3dLayer.
 */
export function pointConvLayer(
  ctx: NetworkContext,
  x: Value,
  name: string,
  out: number,
  options: { axes: 2 | 3; bias: boolean; start?: (fanIn: number) => Initial },
): Value {
  const inputs = x.dim(-1);
  const initial = fanInUniform(inputs);
  const ones = new Array<number>(options.axes).fill(1);
  const w = weight(ctx, `${name}.weight`, {
    shape: [inputs, out],
    torchShape: [out, inputs, ...ones],
    order: [...ones.map((_, i) => i + 2), 1, 0],
    initial: options.start?.(inputs) ?? initial,
    role: "parameter",
  });
  return ops.linear(x, w, options.bias ? weight(ctx, `${name}.bias`, vectorSpec(out, initial)) : undefined);
}
