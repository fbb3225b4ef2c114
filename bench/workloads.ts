/**
 * Our side of every bench case: weights and inputs of test/oracle/README.md, the training steps and networks that the
 * stages use.
 */
import { finetuneSettings } from "../src/config/schema.js";
import { gapClass } from "../src/data/label-table.js";
import { FinetuneStep } from "../src/finetune/step.js";
import { type Explanation, Graph } from "../src/graph/graph.js";
import * as ops from "../src/graph/ops.js";
import { bf16Bits } from "../src/io/host-tensor.js";
import { samConfig } from "../src/models/sam/config.js";
import { SamNetwork } from "../src/models/sam/network.js";
import { fullResolution } from "../src/models/sam/sam.js";
import { Tensor } from "../src/native/tensor.js";
import { gapImage } from "../src/stitch/canvases.js";
import { stitchGeometry } from "../src/stitch/geometry.js";
import { canvasOrder, permute } from "../test/oracle/axes.js";
import { checkerLabel, image, markSome, weight } from "../test/oracle/inputs.js";
import { startBatch } from "./batch-workload.js";
import { type CheckedValues, sampled } from "./check.js";
import { startExchange, startMethod } from "./method-workload.js";
import { startMetrics } from "./metrics-workload.js";
import type { BenchRequest, RequestOf } from "./requests.js";
import { startInference, startTraining, startVolume } from "./segmenter-workload.js";

/** A built case, warmed up once. */
export interface Workload {
  /** What the warm-up computed: the tensors of the peer's check file. */
  readonly values: CheckedValues;
  /** Nodes, FLOPs and bytes of a run and the times of the last one; null when it is more than one program. */
  readonly explain: (() => Explanation) | null;
  /** Run 1, 2, ... */
  run(index: number): Promise<void>;
}

/** Builds a case, fills it and runs it once. */
export function startWorkload(request: BenchRequest): Promise<Workload> {
  switch (request.work) {
    case "gemm":
      return startGemm(request);
    case "bandwidth":
      return startBandwidth(request);
    case "segmenter-train":
      return startTraining(request);
    case "segmenter-infer":
      return startInference(request);
    case "segmenter-volume":
      return startVolume(request);
    case "method-train":
      return startMethod(request);
    case "exchange-train":
      return startExchange(request);
    case "sam-train":
      return startSamTraining(request);
    case "sam-infer":
      return startSamInference(request);
    case "batch":
      return startBatch(request);
    case "stitch":
      return startStitching(request);
    case "bezier":
      return startBezier(request);
    case "metrics":
      return startMetrics(request);
  }
}

async function startGemm({ size }: RequestOf<"gemm">): Promise<Workload> {
  const noise = Float32Array.from({ length: size * size }, (_, i) => ((i * 7919) % 1000) / 1000 - 0.5);
  const [a, b] = [Tensor.from("f32", [size, size], noise), Tensor.from("f32", [size, size], noise)];
  const graph = new Graph();
  const product = ops.linear(graph.input("a", "f32", a.shape), graph.persistent(b, "b"));
  const program = graph.compile({ product });
  const run = async () => void (await program.run({ a }));
  await run();
  return { values: new Map(), explain: () => program.explain(), run };
}

/**
 * A moving average over tensors too large for the caches: reads two, writes one of them in place. A result elsewhere
 * would be read before it is written, which nobody counts.
 */
async function startBandwidth({ elements }: RequestOf<"bandwidth">): Promise<Workload> {
  const [teacher, student] = [Tensor.zeros("f32", [elements]), Tensor.zeros("f32", [elements])];
  const graph = new Graph();
  const pair = {
    teacher: graph.persistent(teacher, "teacher"),
    student: graph.persistent(student, "student"),
  };
  ops.ema(graph.input("alpha", "f32", []), [pair]);
  const program = graph.compile({});
  const run = async () => void (await program.run({ alpha: 0.5 }));
  await run();
  return { values: new Map(), explain: () => program.explain(), run };
}

type SamRequest = RequestOf<"sam-train"> | RequestOf<"sam-infer">;

/** One forward pass of SAM with LoRA on a canvas, and its sampled logits. */
async function samForward({ model, canvas, classes, batch, rank, precision = "f32" }: SamRequest) {
  const network = new SamNetwork(
    samConfig(model, canvas, classes),
    { kind: "lora", rank, targets: ["q", "v"] },
    1,
    { precision },
  );
  const labels = checkerLabel([batch, canvas, canvas], classes, 16);
  const canvases = Tensor.from(
    "f32",
    [batch, canvas, canvas],
    image("canvas", labels, [batch, 1, canvas, canvas]),
  );
  const graph = new Graph();
  const low = network.forward(graph, graph.input("canvases", "f32", canvases.shape), false);
  const program = graph.compile({ logits: fullResolution(low, network.config) });
  const state = network.toState(false);
  // In place: a second copy of the weights would be the largest memory of the process.
  for (const [name, { dtype, data, shape }] of state) {
    const values = weight(name, shape);
    (data as Float32Array | Uint16Array).set(dtype === "bf16" ? bf16Bits(values) : values);
  }
  network.load(state);
  state.clear();
  globalThis.gc?.();
  const run = () => program.run({ canvases });
  const logits = sampled((await run()).logits.f32, [batch, classes, canvas, canvas], canvasOrder);
  return { network, canvases, labels: markSome(labels, batch, gapClass), logits, program, run };
}

export async function startSamTraining(request: RequestOf<"sam-train">): Promise<Workload> {
  const { network, canvases, labels, logits, program } = await samForward(request);
  program.dispose();
  const settings = finetuneSettings.parse({});
  const step = new FinetuneStep(network, settings, request.batch);
  step.canvases.f32.set(canvases.f32);
  step.labels.u8.set(labels);
  canvases.dispose();
  globalThis.gc?.();
  const { loss } = await step.run(0, settings.learningRate);
  return {
    values: new Map([
      ["losses", [loss ?? Number.NaN]],
      ["logits", logits],
    ]),
    explain: () => step.explain(),
    run: async (index) => void (await step.run(index, settings.learningRate)),
  };
}

async function startSamInference(request: RequestOf<"sam-infer">): Promise<Workload> {
  const { logits, program, run } = await samForward(request);
  return {
    values: new Map([["logits", logits]]),
    explain: () => program.explain(),
    run: async () => void (await run()),
  };
}

/** Volumes [N, z, y, x] of running voxel numbers in (x, y, z) order, z fastest: images from 1, labels modulo 250. */
function countedVolumes([width, height, depth]: readonly [number, number, number], volumes: number) {
  const shape = [volumes, depth, height, width];
  const each = width * height * depth;
  // f32 holds the index exactly below 2^24.
  const index = permute(
    Int32Array.from({ length: each }, (_, i) => i),
    [width, height, depth],
    [2, 1, 0],
  );
  const images = Tensor.zeros("f32", shape);
  const labels = Tensor.zeros("u8", shape);
  const [imageData, labelData] = [images.f32, labels.u8];
  for (let i = 0; i < imageData.length; i++) {
    const voxel = index[i % each] ?? 0;
    imageData[i] = voxel + 1;
    labelData[i] = voxel % 250;
  }
  return { images, labels };
}

async function startStitching({ patch, canvas, volumes, direction }: RequestOf<"stitch">): Promise<Workload> {
  const geometry = stitchGeometry({ patch, canvas });
  const given = countedVolumes(patch, volumes);
  const shape = given.images.shape;
  const graph = new Graph();
  const stitching = graph.compile({
    images: ops.stitch(graph.input("images", "f32", shape), geometry, gapImage),
    labels: ops.stitch(graph.input("labels", "u8", shape), geometry, gapClass),
  });
  const canvases = await stitching.run(given);
  if (direction === "stitch") {
    const first = geometry.canvases * canvas * canvas;
    return {
      values: new Map<string, ArrayLike<number>>([
        ["image", canvases.images.f32.slice(0, first)],
        ["label", canvases.labels.u8.slice(0, first)],
      ]),
      explain: () => stitching.explain(),
      run: async () => void (await stitching.run(given)),
    };
  }
  const back = new Graph();
  const unstitching = back.compile({
    images: ops.unstitch(back.input("images", "f32", canvases.images.shape), geometry),
    labels: ops.unstitch(back.input("labels", "u8", canvases.labels.shape), geometry),
  });
  const made = await unstitching.run(canvases);
  const first = patch[0] * patch[1] * patch[2];
  const memory = [...patch].reverse();
  return {
    values: new Map([
      ["image", permute(made.images.f32.slice(0, first), memory, [2, 1, 0])],
      ["label", permute(made.labels.u8.slice(0, first), memory, [2, 1, 0])],
    ]),
    explain: () => unstitching.explain(),
    run: async () => void (await unstitching.run(canvases)),
  };
}

/** Bezier intensity maps of all slices of a patch; values and control points as bench/peers/bezier.py describes. */
async function startBezier({ patch }: RequestOf<"bezier">): Promise<Workload> {
  const [width, height, depth] = patch;
  const shape = [depth, height, width];
  const fraction = (i: number, step: number) => ((i + 1) * step) % 1;
  const values = Float32Array.from({ length: width * height * depth }, (_, i) =>
    fraction(i, 0.6180339887498949),
  );
  const volume = Tensor.from("f32", shape, values);
  const points = Tensor.from(
    "f32",
    [depth, 4],
    Float32Array.from({ length: 4 * depth }, (_, i) => fraction(i, 0.7548776662466927)),
  );
  const apply = Tensor.from("i32", [depth], new Int32Array(depth).fill(1));
  const graph = new Graph();
  const program = graph.compile({
    mapped: ops.intensityMap(
      graph.input("volume", "f32", shape),
      graph.input("points", "f32", points.shape),
      graph.input("apply", "i32", apply.shape),
    ),
  });
  const run = () => program.run({ volume, points, apply });
  return {
    values: new Map([["mapped", sampled((await run()).mapped.f32, shape, [0, 1, 2])]]),
    explain: () => program.explain(),
    run: async () => void (await run()),
  };
}
