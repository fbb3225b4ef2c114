import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BatchOptions, runBatch } from "../src/batch/batch.js";
import { findCases } from "../src/batch/cases.js";
import { labelCohort } from "../src/batch/cohort.js";
import { loadBatchModel } from "../src/batch/model.js";
import { gridFromAffine } from "../src/data/orientation.js";
import { readImage, readLabels, writeImage } from "../src/data/volume-file.js";
import type { SamMetadata } from "../src/finetune/sam-metadata.js";
import { Graph } from "../src/graph/graph.js";
import { Progress } from "../src/io/progress.js";
import { writeSafetensors } from "../src/io/safetensors.js";
import { samConfig } from "../src/models/sam/config.js";
import { SamNetwork } from "../src/models/sam/network.js";
import { configureEngine } from "../src/native/native.js";
import type { InferenceEngine } from "../src/onnxruntime/engine.js";
import { onnxRuntime } from "../src/onnxruntime/runtime.js";
import { permute, volumeOrder } from "../test/oracle/axes.js";
import { checkerLabel, fillWeights, image } from "../test/oracle/inputs.js";
import { sampled } from "./check.js";
import type { RequestOf } from "./requests.js";
import type { Workload } from "./workloads.js";

type BatchRequest = RequestOf<"batch">;

const affine = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 1],
] as const;

/** Files to files, as `sfr pseudo-label` works: labels and confidence maps of all volumes, the weights loaded before. */
export async function startBatch(request: BatchRequest): Promise<Workload> {
  const folder = mkdtempSync(join(tmpdir(), "sfr-bench-batch-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const weights = join(folder, "sam.safetensors");
  await writeSam(weights, request);
  await writeVolumes(join(folder, "in"), request);
  globalThis.gc?.();
  const cases = await findCases([join(folder, "in")]);
  const post = { largestComponent: false, fillHoles: false, minVolume: null };
  const settings = {
    frame: null,
    stride: null,
    weighting: "uniform",
    mirror: false,
    maps: "confidence",
    post,
  } as const;
  const order = { cases, settings, review: false, title: "batch" };
  const run = await labeller(weights, order, request);
  const label = async (index: number): Promise<string> => {
    const out = join(folder, `out-${index}`);
    await run(out);
    return out;
  };
  const out = await label(0);
  const labels = await readLabels(join(out, "volume_0.nii.gz"));
  const confidence = await readImage(join(out, "confidence", "volume_0.nii.gz"));
  return {
    values: new Map([
      ["labels", columns(labels.data, 1, request)],
      ["confidence", columns(confidence.data, 255, request)],
    ]),
    // Several programs and files.
    explain: null,
    run: async (index) => void (await label(index)),
  };
}

/** Labels all volumes into a folder: with one network for all runs, or from the start of the processes each time. */
async function labeller(
  weights: string,
  order: Pick<BatchOptions, "cases" | "settings" | "review" | "title">,
  request: BatchRequest,
): Promise<(out: string) => Promise<unknown>> {
  const progress = new Progress({ quiet: true });
  const { processes } = request;
  if (processes === undefined) {
    const model = await loadBatchModel(weights, null, { engine: engineOf(request) });
    return (out) => runBatch({ ...order, out, model, progress });
  }
  const engines = Array.from({ length: processes }, () => engineOf(request));
  const context = { progress, signal: new AbortController().signal };
  return (out) => {
    configureEngine({ threads: processes });
    return labelCohort({ ...order, out, weights, checkpoint: null }, engines, context);
  };
}

function engineOf({ engine }: BatchRequest): InferenceEngine {
  if (engine === undefined) return { kind: "native" };
  return { kind: "onnx", runtime: { ...onnxRuntime(), through: engine } };
}

/** A volume summed along z, as the peer has it. @param scale what 1 is there */
function columns(voxels: ArrayLike<number>, scale: number, { volume }: BatchRequest): number[] {
  const [width, height] = volume;
  const sums = new Float32Array(width * height);
  for (let i = 0; i < voxels.length; i++) {
    const at = i % sums.length;
    sums[at] = (sums[at] ?? 0) + scale * (voxels[i] ?? 0);
  }
  return sampled(sums, [width, height], [1, 0]);
}

/** A SAM with the weights of test/oracle, as `sfr finetune` writes one. */
async function writeSam(path: string, { model, canvas, classes, patch }: BatchRequest): Promise<void> {
  using network = new SamNetwork(samConfig(model, canvas, classes), { kind: "all" }, 1);
  const graph = new Graph();
  network.forward(graph, graph.input("canvases", "f32", [1, canvas, canvas]), false);
  fillWeights({ toState: () => network.toState(false), load: (state) => network.load(state) });
  const sfr: SamMetadata = {
    ...{ size: model, input: "native", scale: 1, canvas, classes, patch },
    ...{ training: { kind: "all" }, base: null },
  };
  const card = { labelIds: Array.from({ length: classes }, (_, id) => id), labelNames: {}, halve: false };
  await writeSafetensors(path, network.toState(false), {
    sfr: JSON.stringify(sfr),
    data: JSON.stringify(card),
  });
}

async function writeVolumes(folder: string, { volume, volumes, classes }: BatchRequest): Promise<void> {
  mkdirSync(folder);
  const shape = [volumes, 1, ...volume];
  const voxels = permute(
    image("volume", checkerLabel([volumes, ...volume], classes, 8), shape),
    shape,
    volumeOrder,
  );
  const each = voxels.length / volumes;
  for (let i = 0; i < volumes; i++) {
    const data = Float32Array.from(voxels.subarray(i * each, (i + 1) * each));
    const grid = gridFromAffine(affine, volume);
    await writeImage(join(folder, `volume_${i}.nii.gz`), { shape: volume, spacing: [1, 1, 1], data, grid });
  }
}
