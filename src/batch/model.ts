import { join } from "node:path";
import { pathKind } from "../data/layouts/layout.js";
import { namingFile } from "../error-text.js";
import { DataError, UsageError } from "../errors.js";
import { OnnxSamLabeller } from "../finetune/onnx-sam-labeller.js";
import { SamLabeller } from "../finetune/sam-labeller.js";
import { neededBase, readSamMetadata, type SamMetadata, settingsOf } from "../finetune/sam-metadata.js";
import { readSafetensorsHeader } from "../io/safetensors.js";
import { engineInfo } from "../native/native.js";
import type { InferenceEngine, OnnxEngine } from "../onnxruntime/engine.js";
import { OnnxSession } from "../onnxruntime/session.js";
import { OnnxSegmenter } from "../predict/onnx-segmenter.js";
import { Segmenter, segmenterMetadata } from "../predict/segmenter.js";
import type { WindowModel } from "../predict/window-model.js";
import { hashFiles } from "../run/case-store.js";
import { exportedFile } from "../run/exported-file.js";
import { type ModelCard, readModelCard } from "../run/model-card.js";
import { readRunRecord } from "../run/run-folder.js";
import { runPaths } from "../run/stage.js";
import { stageKey } from "../run/stage-key.js";

/** A network that labels volumes, with what its files say of the labels. */
export interface BatchModel {
  readonly network: WindowModel;
  readonly card: ModelCard;
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
 *
 * @param checkpoint SAM's checkpoint where the weights file has LoRA updates only; null: as the run folder says
 * @throws DataError when there is no such network or the files do not fit together
 */
export async function loadBatchModel(
  path: string,
  checkpoint: string | null,
  options: LoadOptions = {},
): Promise<BatchModel> {
  const isFolder = (await pathKind(path)) === "folder";
  const file = isFolder ? join(path, runPaths.finetune, "sam.safetensors") : path;
  const { metadata } = await readSafetensorsHeader(file);
  const card = await readModelCard(file);
  const own = await hashFiles([file]);
  const isSam = /"canvas"/.test(metadata.sfr ?? "");
  const model = isSam
    ? await loadSam(file, checkpoint ?? (isFolder ? checkpointOfRun(path) : null), own, options)
    : { network: await loadSegmenter(file, metadata.sfr, own, options), hash: own, title: "segmenter" };
  const { classes } = model.network;
  if (classes === card.labelIds.length) return { ...model, card };
  model.network[Symbol.dispose]();
  throw new DataError(
    `${file}: expected ${classes} label ids, received ${card.labelIds.length}; train it again`,
  );
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
  return new OnnxSegmenter(await openExported(file, { hash, base: null }, engine, options), metadata);
}

async function loadSam(
  file: string,
  checkpoint: string | null,
  own: string,
  options: LoadOptions,
): Promise<Omit<BatchModel, "card">> {
  const metadata = await readSamMetadata(file);
  const base = neededBase(metadata) === null ? null : await checkBase(file, metadata, checkpoint);
  const sam = settingsOf(metadata, base);
  const { engine } = options;
  const { classes, patch } = metadata;
  const hash = stageKey({ own, base: metadata.base?.sha256 ?? null });
  const network =
    engine?.kind === "onnx"
      ? new OnnxSamLabeller(await openExported(file, { hash, base }, engine, options), metadata)
      : await namingFile(file, SamLabeller.load(file, { sam, classes, patch }));
  return { network, hash, title: `SAM ${metadata.size}` };
}

/** Opens the ONNX file of a weights file in ONNX Runtime. @param base the SAM that LoRA updates belong to */
async function openExported(
  file: string,
  { hash, base }: { readonly hash: string; readonly base: string | null },
  { runtime, cuda }: OnnxEngine,
  { note, signal }: LoadOptions,
): Promise<OnnxSession> {
  const path = await exportedFile(file, {
    hash,
    onWrite: (path) => note?.(`${path}: written once, and compared with the native engine`),
    ...(base === null ? {} : { samCheckpoint: base }),
    ...(signal === undefined ? {} : { signal }),
  });
  return OnnxSession.open(path, {
    runtime,
    threads: engineInfo().threads,
    ...(cuda === undefined ? {} : { cuda }),
  });
}

/** @returns the path of the base. @throws DataError, UsageError when there is none or it is another SAM */
async function checkBase(file: string, { base }: SamMetadata, checkpoint: string | null): Promise<string> {
  if (checkpoint === null) {
    throw new UsageError(
      `--sam-checkpoint: expected the SAM that ${file} was trained on (SHA-256 ${base?.sha256}), received none; name it`,
    );
  }
  const hash = await hashFiles([checkpoint]);
  if (hash === base?.sha256) return checkpoint;
  throw new DataError(
    `${checkpoint}: expected the SAM that ${file} was trained on (SHA-256 ${base?.sha256}), received ${hash}; ` +
      "name that file with --sam-checkpoint",
  );
}

function checkpointOfRun(folder: string): string | null {
  const config = readRunRecord(folder)?.config;
  const sam = typeof config === "object" && config !== null && "sam" in config ? config.sam : undefined;
  const path = typeof sam === "object" && sam !== null && "checkpoint" in sam ? sam.checkpoint : null;
  return typeof path === "string" ? path : null;
}
