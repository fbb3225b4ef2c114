/**
 * Weights and inputs of the goldens, made from the Philox stream as inputs.py makes them; the README of this folder
 * has the contract. All arrays are in PyTorch's axis order (row-major); axes.ts turns them.
 */
import { ignoredClass } from "../../src/data/label-table.js";
import { RandomStream } from "../../src/graph/random.js";
import { elementCount, type HostTensor } from "../../src/io/host-tensor.js";

const tokenNames = [
  "mask_tokens.",
  "iou_token.",
  "point_embeddings.",
  "not_a_point_embed.",
  "no_mask_embed.",
  "gaussian_matrix",
];
const transposedNames = ["_up.conv.0.", "output_upscaling.0.", "output_upscaling.3."];

function scaleOf(name: string, shape: readonly number[]): { offset: number; scale: number } {
  if (tokenNames.some((part) => name.includes(part))) return { offset: 0, scale: 1 };
  if (name.includes("pos_embed") || name.includes("rel_pos_")) return { offset: 0, scale: 0.2 };
  if (name.startsWith("w_b_")) return { offset: 0, scale: 0.1 / Math.sqrt(shape[1] ?? 1) };
  if (name.endsWith(".bias")) return { offset: 0, scale: 0.1 };
  if (shape.length === 1) return { offset: 1, scale: 0.1 };
  const transposed = transposedNames.some((part) => name.includes(part));
  const fanIn = transposed ? (shape[0] ?? 1) : elementCount(shape.slice(1));
  return { offset: 0, scale: 1 / Math.sqrt(fanIn) };
}

/** Elements 0 .. count - 1 of a stream of standard normals, each rounded to f32. */
function normals(stream: string, count: number, seed: number, step: number): Float32Array<ArrayBuffer> {
  const random = new RandomStream(seed, step, stream);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = random.normal();
  return values;
}

/** The tensor `name` of a network. */
export function weight(name: string, shape: readonly number[], seed = 1): Float32Array<ArrayBuffer> {
  const { offset, scale } = scaleOf(name, shape);
  const values = normals(`weights/${name}`, elementCount(shape), seed, 0);
  for (let i = 0; i < values.length; i++) values[i] = offset + scale * (values[i] ?? 0);
  return values;
}

/** What stands in front of ReLUs: batch-norms of the V-Net and of perceptrons, and the MLPs of SAM's mask decoder. */
const normBias = /(\.conv|^fc_layer|^projection|^prediction|^selector_\d)\.[147]\.bias$/;
const reluLayer = /(transformer\.layers\.\d\.mlp\.lin1|hypernetworks_mlps\.\d\.layers\.[01])\.(weight|bias)$/;

/** Convolutions before the instance-norms of MagicNet's network and of the 3D U-Net. */
const beforeInstanceNorm = /^((en|de)coder\.block_|(conv\d|center|up_concat\d)\.).*\.weight$/;

/** Of them those that read a third of their channels from a skip, first, and the others from the level below. */
const concatenated = /^up_concat\d\.conv\.conv1\./;

/** Such a convolution of a calm network: inputs.py's carrying_slabs. */
function carryingSlabs(name: string, shape: readonly number[], data: Float32Array<ArrayBuffer>) {
  const [first = 1, second = 1, ...kernel] = shape;
  const transposed = transposedNames.some((part) => name.includes(part));
  const taps = elementCount(kernel);
  const tapOf = (tap: number) => (taps === 27 ? Number(tap === 13) : transposed ? 1 : 1 / taps);
  const carrying = transposed ? first : concatenated.test(name) ? second / 3 : second;
  return data.map((value, i) => {
    const [a, b] = [Math.floor(i / (taps * second)), Math.floor(i / taps) % second];
    const sign = b >= carrying && !transposed ? 0 : (a + b) % 2 === 0 ? 1 : -1;
    return 0.05 * value + (sign * tapOf(i % taps)) / carrying;
  });
}

/** The tensor `name` of a calm network, whose activations in front of ReLUs stay away from zero (make_goldens.py). */
function calmed(
  name: string,
  shape: readonly number[],
  data: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  if (beforeInstanceNorm.test(name)) return carryingSlabs(name, shape, data);
  if (normBias.test(name)) return data.map((value) => value + 3);
  if (!reluLayer.test(name)) return data;
  return name.endsWith("bias") ? data.fill(1) : data.map((value) => value / 8);
}

/** A network, or one of its sets of weights, as a state dict. */
export interface Stateful {
  toState(): ReadonlyMap<string, HostTensor>;
  load(state: ReadonlyMap<string, HostTensor>): unknown;
}

/**
 * Fills the tensors that a described network has; running statistics stay as they start. */
export function fillWeights(network: Stateful, options: { seed?: number; calm?: boolean } = {}): void {
  const state = new Map<string, HostTensor>();
  for (const [name, { shape }] of network.toState()) {
    if (/\.running_(mean|var)$/.test(name)) continue;
    const data = weight(name, shape, options.seed);
    state.set(name, { dtype: "f32", shape, data: options.calm === true ? calmed(name, shape, data) : data });
  }
  network.load(state);
}

/** Stream `input/<name>`, standard normal. */
export function normal(name: string, shape: readonly number[], step = 0): Float32Array<ArrayBuffer> {
  return normals(`input/${name}`, elementCount(shape), 1, step);
}

/** Labels [N, axes...]: (n + sum over axes of index // block + shift) mod classes. */
export function checkerLabel(
  shape: readonly number[],
  classes: number,
  block: number,
  shift = 0,
): Uint8Array<ArrayBuffer> {
  const labels = new Uint8Array(elementCount(shape));
  for (let i = 0; i < labels.length; i++) {
    let total = shift;
    let rest = i;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const extent = shape[axis] ?? 1;
      total += Math.floor((rest % extent) / (axis === 0 ? 1 : block));
      rest = Math.floor(rest / extent);
    }
    labels[i] = total % classes;
  }
  return labels;
}

/** A copy with `mark` where the row-major index within the sample is a multiple of 11. */
export function markSome(labels: Uint8Array, samples: number, mark: number): Uint8Array<ArrayBuffer> {
  const each = labels.length / samples;
  return Uint8Array.from(labels, (label, i) => ((i % each) % 11 === 0 ? mark : label));
}

/** A copy that keeps the elements with index 0 mod 97 and ignores the others. */
export function ignoreMost(labels: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(labels, (label, i) => (i % 97 === 0 ? label : ignoredClass));
}

/** Image [N, 1, ...] = label + stream `input/<name>`, one f32 addition. */
export function image(name: string, labels: Uint8Array, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const values = normal(name, shape);
  for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) + (labels[i] ?? 0);
  return values;
}

/**
 * Image [N, 1, H, W, D] in slabs of 16 along H and 32 along W: 1 and -1 in turns, + 0.2 (label - 1) + 0.05 n of stream
 * `input/<name>`, rounded to f32 once.
 */
export function slabImage(
  name: string,
  labels: Uint8Array,
  shape: readonly number[],
): Float32Array<ArrayBuffer> {
  const [, , height = 1, width = 1, depth = 1] = shape;
  return normal(name, shape).map((value, i) => {
    const [h, w] = [Math.floor(i / (width * depth)) % height, Math.floor(i / depth) % width];
    const slab = Math.floor(h / 16) + Math.floor(w / 32);
    return (slab % 2 === 0 ? 1 : -1) + 0.2 * ((labels[i] ?? 0) - 1) + 0.05 * value;
  });
}
