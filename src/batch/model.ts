import { join } from "node:path";
import { pathKind } from "../data/layouts/layout.js";
import { namingFile } from "../error-text.js";
import { DataError } from "../errors.js";
import { OnnxSamLabeller } from "../finetune/onnx-sam-labeller.js";
import { SamLabeller } from "../finetune/sam-labeller.js";
import { readSamMetadata, settingsOf } from "../finetune/sam-metadata.js";
import { hashFiles } from "../io/hash-files.js";
import { readSafetensorsHeader } from "../io/safetensors.js";
import { stageKey } from "../io/stage-key.js";
import { engineInfo } from "../native/native.js";
import type { InferenceEngine, OnnxEngine } from "../onnxruntime/engine.js";
import { OnnxSession } from "../onnxruntime/session.js";
import type { Locator } from "../predict/locator.js";
import { OnnxSegmenter } from "../predict/onnx-segmenter.js";
import { Segmenter, segmenterMetadata } from "../predict/segmenter.js";
import type { WindowModel } from "../predict/window-model.js";
import { exportedFile } from "../run/exported-file.js";
import { configAround } from "../run/find-model.js";
import { locatorOf } from "../run/locator.js";
import { type ModelCard, readModelCard } from "../run/model-card.js";
import { baseOf } from "../run/sam-base.js";
import { runPaths } from "../run/stage.js";

/** A network that labels volumes, with what its files say of the labels. */
export interface BatchModel {
  readonly network: WindowModel;
  readonly card: ModelCard;
  /** What volumes are cropped by, where the plan says so. */
  readonly locator: Locator | undefined;
  /** Whether it sees all channels of an image: a segmenter; else SAM's alone. */
  readonly seesAll: boolean;
  /** SHA-256 of what its weights files hold. */
  readonly hash: string;
  /** For people: which network. */
  readonly title: string;
}

/** How a network is loaded. */
export interface LoadOptions {
  /** What will run it; default: the native engine. */
  readonly engine?: InferenceEngine;
  /** Told before something that takes long. */
  note?(text: string): void;
  readonly signal?: AbortSignal;
}

/**
 * Loads the network of a path: a weights file of a segmenter or of a fine-tuned SAM, or a run folder, whose SAM is taken.
 * A SAM is computed in the precision of the run around it; ONNX files are f32.
 *
 * @param checkpoint SAM's checkpoint where the weights file has LoRA updates only; null: as the run around it says
 * @throws DataError when there is no such network or the files do not fit together
 */
export async function loadBatchModel(
  path: string,
  checkpoint: string | null,
  options: LoadOptions = {},
): Promise<BatchModel> {
  const isFolder = (await pathKind(path)) === "folder";
  const file = isFolder ? join(path, runPaths.finetune, "sam.safetensors") : path;
  if (isFolder && (await pathKind(file)) !== "file")
    throw new DataError(
      `${path}: expected a run with a fine-tuned SAM (${runPaths.finetune}/sam.safetensors), received a folder without; ` +
        "give such a run, or the weights file of a segmenter",
    );
  const card = await readModelCard(file);
  const { metadata } = await readSafetensorsHeader(file);
  const own = await hashFiles([file]);
  const isSam = /"canvas"/.test(metadata.sfr ?? "");
  const model = isSam
    ? await loadSam(file, checkpoint, own, options)
    : { network: await loadSegmenter(file, metadata.sfr, own, options), hash: own, title: "segmenter" };
  try {
    const { classes } = model.network;
    if (classes === card.labelIds.length)
      return { ...model, card, locator: await locatorOf(file, card, options.signal), seesAll: !isSam };
    throw new DataError(
      `${file}: expected ${classes} label ids, received ${card.labelIds.length}; train it again`,
    );
  } catch (error) {
    model.network[Symbol.dispose]();
    throw error;
  }
}

async function loadSegmenter(
  file: string,
  entry: string | undefined,
  hash: string,
  options: LoadOptions,
): Promise<WindowModel> {
  const { engine } = options;
  const metadata = segmenterMetadata(entry);
  // Without metadata the native one says what is wrong.
  if (engine?.kind !== "onnx" || metadata === undefined) return namingFile(file, Segmenter.load(file));
  const { session, addedBytes } = await openExported(file, { hash, base: null }, engine, options);
  return new OnnxSegmenter(session, metadata, addedBytes);
}

async function loadSam(
  file: string,
  checkpoint: string | null,
  own: string,
  options: LoadOptions,
): Promise<Omit<BatchModel, "card" | "locator" | "seesAll">> {
  const { engine, signal } = options;
  const config = configAround(file);
  const metadata = await readSamMetadata(file);
  const base = await baseOf(file, metadata, checkpoint ?? config?.sam.checkpoint ?? null, signal);
  const { classes, patch, size } = metadata;
  const title = `SAM ${size}`;
  const hash = stageKey({ own, base: metadata.base?.sha256 ?? null });
  if (engine?.kind === "onnx") {
    const { session, addedBytes } = await openExported(file, { hash, base }, engine, options);
    return { network: new OnnxSamLabeller(session, metadata, addedBytes), hash, title };
  }
  const precision = metadata.training.kind === "all" ? "f32" : (config?.precision ?? "f32");
  const sam = settingsOf(metadata, base);
  const network = await namingFile(file, SamLabeller.load(file, { sam, classes, patch, precision }));
  if (precision === "f32") return { network, hash, title };
  return { network, hash: stageKey({ hash, precision }), title: `${title} in ${precision}` };
}

/**
 * Opens the ONNX file of a weights file in ONNX Runtime.
 *
 * @param weights.base the SAM that LoRA updates belong to
 * @returns addedBytes: what it will take of memory beyond what the process holds then, as measured when it was written
 */
async function openExported(
  file: string,
  weights: { readonly hash: string; readonly base: string | null },
  { runtime, cuda }: OnnxEngine,
  { note, signal }: LoadOptions,
): Promise<{ session: OnnxSession; addedBytes: number }> {
  const { path, memoryBytes } = await exportedFile(file, {
    ...{ hash: weights.hash, samCheckpoint: weights.base, runtime },
    onWrite: (path) => note?.(`${path}: written once, and compared with the native engine`),
    signal,
  });
  const before = process.memoryUsage.rss();
  const { threads } = engineInfo();
  const session = await OnnxSession.open(path, { runtime, threads, ...(cuda === undefined ? {} : { cuda }) });
  return { session, addedBytes: Math.max(0, before + memoryBytes - process.memoryUsage.rss()) };
}
