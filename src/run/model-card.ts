import { z } from "zod";
import { DataError } from "../errors.js";
import { readSafetensors, readSafetensorsHeader, writeSafetensors } from "../io/safetensors.js";
import { jsonOf } from "../io/tensor-file.js";

const cardSchema = z.object({
  labelIds: z.array(z.int().min(0).max(65535)).min(2),
  labelNames: z.record(z.string(), z.string()),
  halve: z.boolean(),
});

/** What a weights file says of the data that it was trained on; the metadata entry `data` of the safetensors file. */
export interface ModelCard {
  /** Label ids by class, background first. */
  readonly labelIds: readonly number[];
  /** Class names by label id. */
  readonly labelNames: Readonly<Record<string, string>>;
  /** Whether volumes are resampled to half resolution first. */
  readonly halve: boolean;
}

/** Adds the card to a weights file (the file is written anew, in one step). @throws DataError */
export async function writeModelCard(path: string, card: ModelCard): Promise<void> {
  const { tensors, metadata } = await readSafetensors(path);
  await writeSafetensors(path, tensors, { ...metadata, data: JSON.stringify(card) });
}

/** Reads the card of a weights file. @throws DataError when it has none */
export async function readModelCard(path: string): Promise<ModelCard> {
  const { metadata } = await readSafetensorsHeader(path);
  const parsed = cardSchema.safeParse(jsonOf(metadata.data));
  if (parsed.success) return parsed.data;
  throw new DataError(
    `${path}: expected the label ids of a segmenter trained by sfr in its metadata, received none; ` +
      "give arms/<name>/segmenter.safetensors of a run folder",
  );
}
