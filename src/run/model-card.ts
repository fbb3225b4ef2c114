import { z } from "zod";
import { type PreprocessingPlan, plainPlan, planSchema } from "../data/preprocessing-plan.js";
import type { Rgb } from "../data/segments.js";
import { DataError } from "../errors.js";
import { readSafetensors, readSafetensorsHeader, writeSafetensors } from "../io/safetensors.js";
import { jsonOf } from "../io/tensor-file.js";

const colorPart = z.int().min(0).max(255);

/** `halve` alone is what cards had before there were plans; others had no channels or colours. */
const cardSchema = z
  .object({
    labelIds: z.array(z.int().min(0).max(65535)).min(2),
    labelNames: z.record(z.string(), z.string()),
    labelColors: z.record(z.string(), z.tuple([colorPart, colorPart, colorPart])).default({}),
    halve: z.boolean().default(false),
    plan: planSchema.optional(),
    channels: z.int().min(1).default(1),
    samChannel: z.int().min(0).default(0),
  })
  .transform(
    ({ halve, plan, ...others }): ModelCard => ({ ...others, plan: plan ?? { ...plainPlan, halve } }),
  );

/** What a weights file says of the data that it was trained on; the metadata entry `data` of the safetensors file. */
export interface ModelCard {
  /** Label ids by class, background first. */
  readonly labelIds: readonly number[];
  /** Class names by label id. */
  readonly labelNames: Readonly<Record<string, string>>;
  /** Colours by label id, where label files had them. */
  readonly labelColors: Readonly<Record<string, Rgb>>;
  /** How volumes are treated before the network sees them. */
  readonly plan: PreprocessingPlan;
  /** Of the images, and which of them SAM sees, from 0. */
  readonly channels: number;
  readonly samChannel: number;
}

/** Adds the card to a weights file (the file is written anew, in one step). @throws DataError */
export async function writeModelCard(path: string, card: ModelCard): Promise<void> {
  const { tensors, metadata } = await readSafetensors(path);
  await writeSafetensors(path, tensors, { ...metadata, data: JSON.stringify(card) });
}

/** Reads the card of a weights file. @throws DataError when it has none, as files of other programs */
export async function readModelCard(path: string): Promise<ModelCard> {
  if (/\.(pth|pt|bin)$/i.test(path)) throw notTrainedHere(path, "a PyTorch file");
  const { metadata } = await readSafetensorsHeader(path);
  const parsed = cardSchema.safeParse(jsonOf(metadata.data));
  if (parsed.success) return parsed.data;
  throw notTrainedHere(path, "none");
}

function notTrainedHere(path: string, received: string): DataError {
  return new DataError(
    `${path}: expected weights trained by sfr, with their label ids, received ${received}; give ` +
      "finetune/sam.safetensors or a segmenter.safetensors of a run. SAM's own checkpoint is fine-tuned first " +
      "(sfr finetune --sam-checkpoint), a V-Net or 3D U-Net of PyTorch converted (sfr convert --patch)",
  );
}
