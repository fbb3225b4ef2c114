import assert from "node:assert/strict";
import { type BatchModel, loadBatchModel } from "../../src/batch/model.js";
import { Tensor } from "../../src/native/tensor.js";
import type { InferenceEngine } from "../../src/onnxruntime/engine.js";
import { type OnnxRuntime, onnxRuntime } from "../../src/onnxruntime/runtime.js";

/**
 * Largest difference of the logits of the native engine and of ONNX Runtime, as a share of the largest logit.
 *
 * @param path weights or run folder
 * @param windows how many are labelled; from the second on, tensors hold what the one before left
 */
export async function logitDifference(
  path: string,
  through: OnnxRuntime["through"],
  windows: number,
): Promise<number> {
  const load = (engine: InferenceEngine): Promise<BatchModel> => loadBatchModel(path, null, { engine });
  const expected = await load({ kind: "native" });
  using _native = expected.network;
  const found = await load({ kind: "onnx", runtime: { ...onnxRuntime(), through } });
  using _onnx = found.network;
  assert.deepEqual(found.network.patch, expected.network.patch);
  assert.deepEqual(found.network.usualStride, expected.network.usualStride);
  const [x, y, z] = expected.network.patch;
  let [error, largest] = [0, 0];
  for (let phase = 0; phase < windows; phase++) {
    const values = Float32Array.from(
      { length: x * y * z },
      (_, i) => Math.sin(i / 3 + phase) + Math.cos(i / 41),
    );
    using window = Tensor.from("f32", [1, z, y, x], values);
    const [a, b] = [await expected.network.logits(window), await found.network.logits(window)];
    assert.deepEqual(b.shape.slice(-4), a.shape.slice(-4));
    a.f32.forEach((logit, i) => {
      error = Math.max(error, Math.abs(logit - (b.f32[i] ?? Number.NaN)));
      largest = Math.max(largest, Math.abs(logit));
    });
  }
  return error / largest;
}
