import { argmaxAt } from "../data/argmax.js";
import { permuted } from "../graph/weights.js";
import { elementCount } from "../io/host-tensor.js";
import { Tensor } from "../native/tensor.js";
import type { OnnxRuntime } from "../onnxruntime/runtime.js";
import { OnnxSession } from "../onnxruntime/session.js";

/** How far a file's results are from the native engine's on one input. */
export interface Parity {
  /** What was fed, in words. */
  readonly input: string;
  /** Version of ONNX Runtime, on the CPU. */
  readonly onnxruntime: string;
  /** Largest difference of a logit. */
  readonly absoluteError: number;
  /** The same as a share of the largest logit. */
  readonly relativeError: number;
  /** Largest relative error that passes. */
  readonly bound: number;
  /** Share of places whose largest logit is the same class's, 0 to 1. */
  readonly equalArgmax: number;
  /** Time of the second run in ONNX Runtime, seconds. */
  readonly seconds: number;
  /** What ONNX Runtime took of memory for the weights and two runs, bytes. */
  readonly memoryBytes: number;
}

/**
 * Errors that always pass: f32 sums in another order differ by some 1e-6 of the largest logit; a wrong weight, axis or
 * epsilon shows at 1e-3 and above.
 */
const usualBound = 1e-4;
/**
 * A network may be so steep that the rounding of its input alone moves the logits by more. Its layers round too, and on
 * both sides: together they were up to 3 times as far apart.
 */
const roundings = 8;

/**
 * Largest relative error that passes.
 *
 * @param sensitivity what the native engine's logits change by when the input does by its rounding, relative to the largest
 */
export function parityBound(sensitivity: number): number {
  return Math.max(usualBound, roundings * sensitivity);
}

/** An input and what the native engine makes of it; axes as in our graph, channels last. */
export interface Sample {
  /** What it is, in words. */
  readonly title: string;
  readonly input: { readonly name: string; readonly shape: readonly number[]; readonly data: Float32Array };
  readonly logits: { readonly name: string; readonly shape: readonly number[]; readonly data: Float32Array };
  /** Largest relative error that passes. */
  readonly bound: number;
}

/** Runs a file in ONNX Runtime on the CPU and compares. Throws what OnnxSession throws. */
export async function measureParity(
  runtime: OnnxRuntime,
  path: string,
  { title, input, logits, bound }: Sample,
  { threads, signal }: { threads: number; signal?: AbortSignal | undefined },
): Promise<Parity> {
  const given = toChannelsFirst(input.data, input.shape);
  const expected = toChannelsFirst(logits.data, logits.shape);
  using x = Tensor.from("f32", given.shape, given.data);
  using y = Tensor.zeros("f32", expected.shape);
  const before = process.memoryUsage.rss();
  using session = await OnnxSession.open(path, { runtime, threads });
  const run = () => session.run({ [input.name]: x }, { [logits.name]: y }, signal);
  await run();
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1000;
  const memoryBytes = Math.max(0, process.memoryUsage.rss() - before);
  return {
    input: title,
    onnxruntime: runtime.version,
    ...logitDistance(y.f32, expected.data),
    bound,
    equalArgmax: equalArgmax(y.f32, expected.data, expected.shape),
    seconds,
    memoryBytes,
  };
}

/** [N, .., C] -> [N, C, ..]. */
function toChannelsFirst(
  data: Float32Array,
  shape: readonly number[],
): { data: Float32Array; shape: number[] } {
  const order = [0, shape.length - 1, ...shape.slice(1, -1).map((_, i) => i + 1)];
  return { data: permuted(data, shape, order), shape: order.map((axis) => shape[axis] ?? 1) };
}

/** How far two sets of logits are apart; infinitely where one of them is NaN. */
export function logitDistance(
  found: Float32Array,
  expected: Float32Array,
): Pick<Parity, "absoluteError" | "relativeError"> {
  let [absoluteError, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs((found[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    if (!(error <= absoluteError)) absoluteError = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
  }
  return { absoluteError, relativeError: absoluteError === 0 ? 0 : absoluteError / largest };
}

/** Share of places with the same largest class. @param shape [N, K, ..] of both */
function equalArgmax(
  found: Float32Array,
  expected: Float32Array,
  [batch = 1, classes = 1, ...inner]: readonly number[],
): number {
  const places = elementCount(inner);
  let equal = 0;
  for (let sample = 0; sample < batch; sample++)
    for (let place = 0; place < places; place++) {
      const at = (logits: Float32Array) =>
        argmaxAt(logits, sample * classes * places + place, places, classes);
      if (at(found) === at(expected)) equal += 1;
    }
  return equal / (batch * places);
}
