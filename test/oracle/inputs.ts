/**
 * Weights and inputs of the goldens, made from the Philox stream as inputs.py makes them; the README of this folder
 * has the contract. All arrays are in PyTorch's axis order (row-major); axes.ts turns them.
 */
import { RandomStream } from "../../src/data/random.js";
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

/** Labels that take no part in a loss. */
const ignored = 255;

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

/** Biases of the V-Net's batch-norms: those that the calm V-Net shifts. */
const normBias = /\.conv\.[147]\.bias$/;

/** A network, or one of its sets of weights, as a state dict. */
export interface Stateful {
  toState(): ReadonlyMap<string, HostTensor>;
  load(state: ReadonlyMap<string, HostTensor>): unknown;
}

/**
 * Fills the tensors that a described network has; running statistics stay as they start.
 *
 * @param calm adds 2 to the biases of the V-Net's batch-norms
 */
export function fillWeights(network: Stateful, options: { seed?: number; calm?: boolean } = {}): void {
  const state = new Map<string, HostTensor>();
  for (const [name, { shape }] of network.toState()) {
    if (/\.running_(mean|var)$/.test(name)) continue;
    const data = weight(name, shape, options.seed);
    if (options.calm === true && normBias.test(name))
      for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) + 2;
    state.set(name, { dtype: "f32", shape, data });
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

/** A copy with 255 where the row-major index within the sample is a multiple of 11. */
export function ignoreSome(labels: Uint8Array, samples: number): Uint8Array<ArrayBuffer> {
  const each = labels.length / samples;
  return Uint8Array.from(labels, (label, i) => ((i % each) % 11 === 0 ? ignored : label));
}

/** A copy that keeps the elements with index 0 mod 97 and ignores the others. */
export function ignoreMost(labels: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(labels, (label, i) => (i % 97 === 0 ? label : ignored));
}

/** Image [N, 1, ...] = label + stream `input/<name>`, one f32 addition. */
export function image(name: string, labels: Uint8Array, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const values = normal(name, shape);
  for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) + (labels[i] ?? 0);
  return values;
}

/** Noise of the teacher's images in step `step`: clip(f32(0.1 n), +-0.2) of the stream `teacher/noise`. */
export function teacherNoise(shape: readonly number[], step: number): Float32Array<ArrayBuffer> {
  const values = normals("teacher/noise", elementCount(shape), 1, step);
  const limit = Math.fround(0.2);
  for (let i = 0; i < values.length; i++)
    values[i] = Math.min(Math.max(Math.fround(0.1 * (values[i] ?? 0)), -limit), limit);
  return values;
}
