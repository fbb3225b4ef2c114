import { z } from "zod";
import type { SamSettings, Voxels } from "../config/schema.js";
import { namingFile } from "../error-text.js";
import { DataError } from "../errors.js";
import { writeSafetensors } from "../io/safetensors.js";
import { jsonOf, type TensorFile } from "../io/tensor-file.js";
import { openWeights, readWeights } from "../io/weights-file.js";
import { samConfig } from "../models/sam/config.js";
import type { LoadingReport } from "../models/sam/loading.js";
import { SamNetwork, type SamTraining } from "../models/sam/network.js";
import type { Precision } from "../native/native.js";
import { inputPlan } from "../stitch/input-plan.js";
import type { SamMetadata } from "./sam-metadata.js";

/** Told what was taken from a file that SAM starts from: its checkpoint, or LoRA updates. */
export type OnLoad = (name: "sam" | "lora", path: string, report: LoadingReport) => Promise<void>;

/** What a file of a fine-tuned SAM says of it. */
export interface SamFacts {
  sam: SamSettings;
  /** K, background included. */
  classes: number;
  patch: Voxels;
  /** SHA-256 of SAM's checkpoint, for the weights file and to hold a LoRA file against; null without a checkpoint. */
  checkpointHash: string | null;
}

/** What trains under these settings; `auto` is LoRA with a checkpoint and everything without. */
function samTraining({ train, checkpoint, rank, targets, adapterRatio }: SamSettings): SamTraining {
  const kind = train === "auto" ? (checkpoint === null ? "all" : "lora") : train;
  if (kind === "lora") return { kind, rank, targets };
  return kind === "adapter" ? { kind, ratio: adapterRatio } : { kind };
}

/** A network of these settings, its weights not yet made; with a checkpoint they have values only after loadCheckpoint. */
export function samNetwork(
  settings: SamSettings,
  classes: number,
  seed: number,
  precision: Precision = "f32",
): SamNetwork {
  const config = samConfig(settings.size, settings.canvas, classes);
  const firstValues = settings.checkpoint === null ? "initialised" : "from-file";
  return new SamNetwork(config, samTraining(settings), seed, { firstValues, precision });
}

/** The same for a SAM that was fine-tuned before: its weights have values only after loadFinetuned. */
export function finetunedNetwork(
  settings: SamSettings,
  classes: number,
  precision: Precision = "f32",
): SamNetwork {
  const config = samConfig(settings.size, settings.canvas, classes);
  return new SamNetwork(config, samTraining(settings), 0, { firstValues: "from-file", precision });
}

/**
 * Takes weights written by finetune(); the frozen encoder comes from the checkpoint when there was one. Throws DataError
 * when they do not fit.
 */
export async function loadFinetuned(
  network: SamNetwork,
  { checkpoint }: SamSettings,
  weightsPath: string,
): Promise<void> {
  if (checkpoint !== null) await loadCheckpoint(network, checkpoint);
  network.load(await readWeights(weightsPath));
}

/** Takes SAM's weights from a checkpoint file. Throws DataError naming the file when they do not fit. */
export async function loadCheckpoint(network: SamNetwork, path: string): Promise<LoadingReport> {
  return namingFile(
    path,
    withWeights(path, (file) => network.loadCheckpoint(file)),
  );
}

/**
 * Takes what the settings say that SAM starts from: a checkpoint, and LoRA updates on top.
 * Throws DataError naming the file when one does not fit, or when the updates were trained on another checkpoint.
 */
export async function loadStart(
  network: SamNetwork,
  { checkpoint, lora }: SamSettings,
  { checkpointHash, onLoad }: { checkpointHash: string | null; onLoad?: OnLoad },
): Promise<void> {
  if (checkpoint !== null) {
    const report = await loadCheckpoint(network, checkpoint);
    await onLoad?.("sam", checkpoint, report);
  }
  if (lora === null) return;
  const load = withWeights(lora, async (file) => {
    refuseOtherBase(file, checkpointHash);
    return network.loadLora(file);
  });
  await onLoad?.("lora", lora, await namingFile(lora, load));
}

/** Writes a fine-tuned SAM: all tensors, or the trained ones when it came from a checkpoint. */
export async function saveSam(path: string, network: SamNetwork, facts: SamFacts): Promise<void> {
  const { sam, classes, patch, checkpointHash } = facts;
  // All that is needed to use it, and which SAM it belongs to.
  const { size, input, scale, canvas } = sam;
  const metadata: SamMetadata = {
    ...{ size, input, scale, canvas, classes },
    training: samTraining(sam),
    patch,
    base: checkpointHash === null ? null : { sha256: checkpointHash },
  };
  const { part, geometry: plan } = inputPlan(patch, sam);
  const preprocessing = { volume: "z-score", channels: "gray, repeated", pixelMean: 0, pixelStd: 1 };
  const state = network.toState(sam.checkpoint !== null);
  await writeSafetensors(path, state, { sfr: JSON.stringify({ ...metadata, part, plan, preprocessing }) });
}

async function withWeights<T>(path: string, use: (file: TensorFile) => Promise<T>): Promise<T> {
  await using file = await openWeights(path);
  return await use(file);
}

const baseSchema = z.object({ base: z.object({ sha256: z.string() }) });

/** A file of this program knows which SAM its updates belong to; others do not. */
function refuseOtherBase({ metadata }: TensorFile, checkpointHash: string | null): void {
  const base = baseSchema.safeParse(jsonOf(metadata.sfr)).data?.base.sha256;
  if (base !== undefined && base !== checkpointHash)
    throw new DataError(
      `sam: expected LoRA updates of the SAM in sam.checkpoint (SHA-256 ${checkpointHash}), received those of ` +
        `${base}; give that SAM as sam.checkpoint`,
    );
}
