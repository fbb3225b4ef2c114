import type { Config, Voxels } from "../config/schema.js";
import { Cropper } from "../data/augment.js";
import { openDataset } from "../data/cases.js";
import { type PreparedCase, prepareCase } from "../data/prepare.js";
import type { PreprocessingPlan } from "../data/preprocessing-plan.js";
import { splitCases } from "../data/splits.js";
import { isCaseError, messageOf, namingFile } from "../error-text.js";
import { DeviceError } from "../errors.js";
import { readSamMetadata, type SamMetadata } from "../finetune/sam-metadata.js";
import { loadTrainedSam } from "../finetune/trained-sam.js";
import { Graph } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { RandomStream } from "../graph/random.js";
import { hashFiles } from "../io/hash-files.js";
import { elementCount } from "../io/host-tensor.js";
import { readSafetensorsHeader } from "../io/safetensors.js";
import { segmenters } from "../models/segmenters.js";
import { Tensor } from "../native/tensor.js";
import { type Exported, type ExportSpec, exportOnnx, type TestInput } from "../onnx/export.js";
import { type OnnxRuntime, onnxRuntime } from "../onnxruntime/runtime.js";
import { readSegmenter } from "../predict/segmenter.js";
import { quarterStride } from "../predict/windows.js";
import { gapImage, stitchImage } from "../stitch/canvases.js";
import { type InputPlan, inputPlan } from "../stitch/input-plan.js";
import { version } from "../version.js";
import { disposeCase } from "./case-store.js";
import { findModel } from "./find-model.js";
import { locatorOf } from "./locator.js";
import { type ModelCard, readModelCard } from "./model-card.js";
import { baseOf } from "./sam-base.js";

/** What to export, and where to. */
export interface ExportRequest {
  /** A run folder with one model, a stage of a run, or weights. */
  readonly model: string;
  /** FILE.onnx */
  readonly out: string;
  /** The SAM that LoRA updates belong to; by default the one that the run names. */
  readonly samCheckpoint: string | undefined;
  /** What the file is compared in; absent: onnxruntime-node's library, if it is there. */
  readonly runtime?: OnnxRuntime;
}

/** What was written, and what there is to say of it. */
export interface ExportedModel extends Exported {
  readonly title: string;
  /** Sentences for people. */
  readonly notes: readonly string[];
}

/** A network ready to write, and how a patch of a volume becomes its input. */
interface Exportable extends Disposable {
  readonly spec: ExportSpec;
  /** Voxels (x, y, z). */
  readonly patch: Voxels;
  /** What a test input is called: window or canvas. */
  readonly unit: string;
  /** The channels of a case that it takes. */
  sees(prepared: PreparedCase): readonly Tensor[];
  /** Input values of the network from a patch f32 [1, D, H, W], or [1, D, H, W, C] of several channels. */
  inputOf(patch: Tensor): Promise<Float32Array>;
}

/**
 * Writes a model of a run as ONNX, held against the native engine on the middle of the run's first labelled case (on
 * noise where that cannot be read).
 *
 * @throws DataError, UsageError; SfrError when the file's results are not the native engine's
 */
export async function exportModel(request: ExportRequest, signal?: AbortSignal): Promise<ExportedModel> {
  const { weightsPath, config } = await findModel(request.model);
  const card = await readModelCard(weightsPath);
  const checkpoint = request.samCheckpoint ?? config?.sam.checkpoint ?? null;
  using model = await openModel(weightsPath, card, checkpoint, signal);
  const notes: string[] = [];
  const test = (await caseInput(model, weightsPath, card, config, notes)) ?? noiseInput(model);
  const runtime = request.runtime ?? runtimeAtHand(notes);
  const exported = await exportOnnx(model.spec, request.out, { test, runtime, signal });
  return { ...exported, title: model.spec.title, notes };
}

/** ONNX Runtime, or a note on why there is none. */
function runtimeAtHand(notes: string[]): OnnxRuntime | undefined {
  try {
    return onnxRuntime();
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    notes.push(`parity with the native engine was not checked: ${error.message}`);
    return undefined;
  }
}

/** @throws DataError when the file is no model of this program, or does not fit its own description */
async function openModel(
  path: string,
  card: ModelCard,
  checkpoint: string | null,
  signal: AbortSignal | undefined,
): Promise<Exportable> {
  const { metadata } = await readSafetensorsHeader(path);
  const common = { ...dataMetadata(card), "sfr.weights_sha256": await hashFiles([path], signal) };
  if (!/"canvas"/.test(metadata.sfr ?? "")) return openSegmenter(path, common);
  const sam = await readSamMetadata(path);
  return openSam(path, sam, await baseOf(path, sam, checkpoint, signal), common);
}

async function openSegmenter(path: string, common: Readonly<Record<string, string>>): Promise<Exportable> {
  const { weights, metadata, forward } = await namingFile(path, readSegmenter(path));
  const { model, filters, classes, channels, patch } = metadata;
  const [x, y, z] = patch;
  const window = {
    patch,
    stride: quarterStride(patch),
    average: "softmax of the windows that cover a voxel",
  };
  return {
    spec: {
      title: segmenters[model].title,
      input: {
        name: "patch",
        shape: [z, y, x, channels],
        help: `f32 [batch, ${channels}, z, y, x], a window of a prepared volume`,
      },
      output: { name: "logits", help: "f32 [batch, class, z, y, x]" },
      forward,
      metadata: {
        ...common,
        "sfr.model": JSON.stringify({ kind: "segmenter", network: model, filters, classes, channels }),
        "sfr.window": JSON.stringify(window),
      },
    },
    patch,
    unit: "window",
    sees: ({ channels }) => channels,
    inputOf: async (crop) => Float32Array.from(crop.f32),
    [Symbol.dispose]: () => weights.dispose(),
  };
}

async function openSam(
  path: string,
  metadata: SamMetadata,
  checkpoint: string | null,
  common: Readonly<Record<string, string>>,
): Promise<Exportable> {
  const { size, input, canvas, classes, training, patch, base } = metadata;
  const network = await loadTrainedSam(path, metadata, checkpoint);
  const plan = inputPlan(patch, metadata);
  const pixels = { channels: "gray, repeated inside the model", gap: gapImage };
  return {
    spec: {
      title: `SAM ${size}`,
      input: {
        name: "canvas",
        shape: [canvas, canvas, 1],
        help: "f32 [batch, 1, y, x], slices of a prepared volume side by side (sfr.canvas)",
      },
      output: {
        name: "logits",
        help: "f32 [batch, class, y, x] at a quarter of the canvas's resolution: resize bilinearly, half-pixel centres",
      },
      forward: (graph, x) => network.forward(graph, ops.reshape(x, [x.dim(0), canvas, canvas]), false),
      metadata: {
        ...common,
        ...(base === null ? {} : { "sfr.base_sha256": base.sha256 }),
        "sfr.model": JSON.stringify({ kind: "sam", size, canvas, classes, training }),
        "sfr.canvas": JSON.stringify({ patch, input, part: plan.part, plan: plan.geometry, ...pixels }),
      },
    },
    patch,
    unit: "canvas",
    sees: ({ image }) => [image],
    inputOf: (crop) => firstCanvas(crop, plan),
    [Symbol.dispose]: () => network.dispose(),
  };
}

/** What the file says of the data that its model is for. */
function dataMetadata({ labelIds, labelNames, plan }: ModelCard): Record<string, string> {
  return {
    "sfr.version": version,
    "sfr.classes": String(labelIds.length),
    "sfr.labels": JSON.stringify({ ids: labelIds, names: labelNames }),
    "sfr.preprocessing": JSON.stringify({
      axes: "RAS+, x fastest",
      crop: cropping(plan),
      window: plan.window,
      spacing_mm: plan.spacing,
      minimum_slices: plan.minimumSlices,
      resample: resampling(plan),
      intensity: "(v - mean) / standard deviation over the whole volume (divisor n)",
    }),
  };
}

function cropping({ cropAbove, cropMargin, locator }: PreprocessingPlan): object | null {
  if (locator !== undefined) return { locator_sha256: locator.sha256, margin_mm: cropMargin };
  return cropAbove === null ? null : { above: cropAbove, margin_mm: cropMargin };
}

function resampling({ halve, spacing, minimumSlices }: PreprocessingPlan): string {
  if (halve) return "mean of 2x2x2 voxels";
  return spacing === null && minimumSlices === null ? "none" : "linear, outer faces in place";
}

/** The first canvas of a patch f32 [1, D, H, W], f32 [S, S]. */
async function firstCanvas(crop: Tensor, plan: InputPlan): Promise<Float32Array> {
  const graph = new Graph();
  const whole = ops.reshape(graph.input("crop", "f32", crop.shape), crop.shape.slice(0, 4));
  using program = graph.compile({ canvases: stitchImage(ops.slice(whole, 1, 0, plan.part[2]), plan) });
  const { canvases } = await program.run({ crop });
  return canvases.f32.slice(0, plan.geometry.canvas ** 2);
}

/** The middle of the run's first labelled case; undefined, with a note, where there is no run or it cannot be read. */
async function caseInput(
  model: Exportable,
  weightsPath: string,
  card: ModelCard,
  config: Config | undefined,
  notes: string[],
): Promise<TestInput | undefined> {
  if (config === undefined) return undefined;
  try {
    const { root, layout, frame } = config.data;
    const [entry] = splitCases(await openDataset(root, layout, frame), config.data).labelled;
    if (entry === undefined) return undefined;
    using locator = await locatorOf(weightsPath, card);
    const { plan, samChannel } = card;
    const prepared = await prepareCase(entry, {
      ...{ needLabel: false, labelIds: undefined, plan, samChannel },
      locate: locator?.locate,
    });
    try {
      return {
        title: `the middle ${model.unit} of case ${entry.id}`,
        values: await middleInput(model, model.sees(prepared)),
      };
    } finally {
      disposeCase(prepared);
    }
  } catch (error) {
    if (!isCaseError(error)) throw error;
    notes.push(`no case of the run can be read, so noise is compared: ${messageOf(error)}`);
    return undefined;
  }
}

/** @param channels f32 [D, H, W] each */
async function middleInput(model: Exportable, channels: readonly Tensor[]): Promise<Float32Array> {
  const [px, py, pz] = model.patch;
  const [depth = 0, height = 0, width = 0] = channels[0]?.shape ?? [];
  const middle = (extent: number, size: number) => Math.floor((extent - size) / 2);
  using cropper = new Cropper(model.patch);
  using crop = Tensor.zeros("f32", [1, pz, py, px, channels.length]);
  const corner = [middle(width, px), middle(height, py), middle(depth, pz)] as const;
  await cropper.channelsInto(crop, 0, channels, { corner, turns: 0, flip: 0 });
  return model.inputOf(crop);
}

/** Normal noise, as a z-scored volume has it. */
function noiseInput({ spec, unit }: Exportable): TestInput {
  const stream = new RandomStream(1, 0, "export/noise");
  const values = new Float32Array(elementCount(spec.input.shape));
  for (let i = 0; i < values.length; i++) values[i] = stream.normal();
  return { title: `a ${unit} of noise`, values };
}
