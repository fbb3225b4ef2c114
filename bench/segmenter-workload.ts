/** Segmenters in the benches: a training step, one patch, a whole volume. */
import { retrainSettings, segmenterSettings } from "../src/config/schema.js";
import { Graph } from "../src/graph/graph.js";
import { WeightSet } from "../src/graph/weights.js";
import type { HostTensor } from "../src/io/host-tensor.js";
import { segment } from "../src/models/segmenter.js";
import { segmenters } from "../src/models/segmenters.js";
import { Tensor } from "../src/native/tensor.js";
import { slidingWindow } from "../src/predict/sliding-window.js";
import { windowCorners } from "../src/predict/windows.js";
import { methods } from "../src/retrain/methods/index.js";
import { RetrainStep } from "../src/retrain/step.js";
import { labelOrder, permute, volumeOrder } from "../test/oracle/axes.js";
import { checkerLabel, fillWeights, image, weight } from "../test/oracle/inputs.js";
import { sampled } from "./check.js";
import type { RequestOf } from "./requests.js";
import type { Workload } from "./workloads.js";

type PatchRequest = RequestOf<"segmenter-train"> | RequestOf<"segmenter-infer">;

/** Crops and labels of a case in PyTorch's axis order, turned to ours. */
function batchOf({ patch, batch, classes }: PatchRequest) {
  const labels = checkerLabel([batch, ...patch], classes, 8);
  const crops = image("volume", labels, [batch, 1, ...patch]);
  return {
    images: permute(crops, [batch, 1, ...patch], volumeOrder),
    labels: permute(labels, [batch, ...patch], labelOrder),
  };
}

/** A network with the weights of seed 1 as a program from `x` to its logits. */
function forwardProgram(
  { model, patch, classes, filters }: PatchRequest | RequestOf<"segmenter-volume">,
  batch: number,
  training: boolean,
) {
  const graph = new Graph();
  const weights = new WeightSet("student", 1);
  const x = Tensor.zeros("f32", [batch, patch[2], patch[1], patch[0], 1]);
  const rng = Tensor.from("i32", [3], [1, 0, 0]);
  const context = { graph, weights, training, updateStatistics: false };
  const network = training ? { ...context, rng: graph.input("rng", "i32", [3]) } : context;
  const input = graph.input("x", "f32", x.shape);
  const logits = segment(segmenters[model], network, input, { filters, classes, dropout: 0.5 });
  const program = graph.compile({ logits });
  fillWeights(weights);
  globalThis.gc?.();
  const run = async () => (await program.run(training ? { x, rng } : { x })).logits;
  const dispose = () => {
    for (const owned of [program, weights, x, rng]) owned.dispose();
  };
  return { x: x.f32, run, dispose, explain: () => program.explain() };
}

/** A training step of the re-training stage, after a look at the logits of the forward pass alone. */
export async function startTraining(request: RequestOf<"segmenter-train">): Promise<Workload> {
  const { model, patch, batch, classes, filters } = request;
  const { images, labels } = batchOf(request);
  const forward = forwardProgram(request, batch, true);
  forward.x.set(images);
  const logits = sampled((await forward.run()).f32, [batch, classes, ...patch], volumeOrder);
  forward.dispose();

  const isTeaching = request.method === "mean-teacher";
  const labelledBatch = isTeaching ? Math.floor(batch / 2) : batch;
  const unlabelledBatch = batch - labelledBatch;
  const step = new RetrainStep({
    method: methods[isTeaching ? "mean-teacher" : "labelled-only"],
    segmenter: segmenterSettings.parse({ model, filters }),
    // The method does not look at the unlabelled batch when it has none; the schema wants one.
    settings: retrainSettings.parse({ labelledBatch, unlabelledBatch: Math.max(unlabelledBatch, 1) }),
    classes,
    patch,
    pseudoLabels: isTeaching,
    precision: request.precision ?? "f32",
    seed: 1,
  });
  step.restore(philoxState(step.state()));
  step.batch.images.f32.set(images);
  step.batch.labels.u8.set(labels.subarray(0, step.batch.labels.count));
  if (step.batch.pseudoLabels !== undefined) {
    const shape = [unlabelledBatch, ...patch];
    step.batch.pseudoLabels.u8.set(permute(checkerLabel(shape, classes, 8, 2), shape, labelOrder));
  }
  globalThis.gc?.();
  const { loss } = await step.run(0);
  return {
    values: new Map([
      ["losses", [loss ?? Number.NaN]],
      ["logits", logits],
    ]),
    explain: () => step.explain(),
    run: async (index) => void (await step.run(index)),
  };
}

/** A step's state with the student's weights of seed 1 and the teacher's of seed 2. */
function philoxState(state: Map<string, HostTensor>): Map<string, HostTensor> {
  for (const [key, tensor] of state) {
    const [, network, name = ""] = /^(student|teacher)\/(.*)$/.exec(key) ?? [];
    if (network === undefined || /\.running_(mean|var)$/.test(name)) continue;
    state.set(key, { ...tensor, data: weight(name, tensor.shape, network === "student" ? 1 : 2) });
  }
  return state;
}

/** The logits of a batch. */
export async function startInference(request: RequestOf<"segmenter-infer">): Promise<Workload> {
  const { x, run, explain } = forwardProgram(request, request.batch, false);
  x.set(batchOf(request).images);
  const shape = [request.batch, request.classes, ...request.patch];
  return {
    values: new Map([["logits", sampled((await run()).f32, shape, volumeOrder)]]),
    explain,
    run: async () => void (await run()),
  };
}

/** The labels of a volume by sliding window, as `sfr predict` computes them. */
export async function startVolume(request: RequestOf<"segmenter-volume">): Promise<Workload> {
  const { volume, patch, stride, classes } = request;
  const [width, height, depth] = volume;
  const shape = [1, 1, ...volume];
  const voxels = image("volume", checkerLabel([1, ...volume], classes, 8), shape);
  const whole = Tensor.from("f32", [depth, height, width], permute(voxels, shape, volumeOrder));
  const { x, run, explain } = forwardProgram(request, 1, false);
  const windows = windowCorners(volume, patch, stride).length;
  const logits = (crop: Tensor) => {
    x.set(crop.f32);
    return run();
  };
  const predict = () => slidingWindow(whole, { channels: 1, classes, patch, usualStride: stride, logits });
  using result = await predict();
  const columns = new Float32Array(width * height);
  for (const [i, label] of result.labels.u8.entries())
    columns[i % columns.length] = (columns[i % columns.length] ?? 0) + label;
  return {
    values: new Map([["columns", sampled(columns, [width, height], [1, 0])]]),
    explain: () => {
      const one = explain();
      return { ...one, flops: one.flops * windows, bytesMoved: one.bytesMoved * windows };
    },
    run: async () => (await predict()).dispose(),
  };
}
