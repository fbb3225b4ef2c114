import { z } from "zod";
import { type SamSettings, samSettings, type Voxels } from "../config/schema.js";
import { DataError } from "../errors.js";
import { readSafetensorsHeader } from "../io/safetensors.js";
import { jsonOf } from "../io/tensor-file.js";
import type { SamTraining } from "../models/sam/network.js";

const extent = z.int().min(1);
const { size, input, scale, canvas, rank, targets, adapterRatio } = samSettings.shape;

const metadataSchema = z.object({
  size,
  canvas,
  classes: z.int().min(2),
  training: z.discriminatedUnion("kind", [
    z.object({ kind: z.enum(["all", "decoder"]) }),
    z.object({ kind: z.literal("lora"), rank, targets }),
    z.object({ kind: z.literal("adapter"), ratio: adapterRatio }),
  ]),
  // Files from before there was a choice say nothing.
  input,
  scale,
  patch: z.tuple([extent, extent, extent]),
  base: z.object({ sha256: z.string() }).nullable(),
});

/** What the file of a fine-tuned SAM says of itself, as its metadata entry `sfr`. */
export interface SamMetadata {
  readonly size: SamSettings["size"];
  /** Side of a canvas, pixels. */
  readonly canvas: number;
  /** How SAM sees a crop; `scale` tiles a side with `scale`. */
  readonly input: SamSettings["input"];
  readonly scale: number;
  /** K, background included. */
  readonly classes: number;
  readonly training: SamTraining;
  /** Extents of a crop, voxels (x, y, z). */
  readonly patch: Voxels;
  /** The checkpoint that the file's tensors go on top of; null when they are all there are. */
  readonly base: { readonly sha256: string } | null;
}

/** Reads the metadata of a fine-tuned SAM. @throws DataError when the file is none of this program */
export async function readSamMetadata(path: string): Promise<SamMetadata> {
  const { metadata } = await readSafetensorsHeader(path);
  const parsed = metadataSchema.safeParse(jsonOf(metadata.sfr));
  if (parsed.success) return parsed.data;
  throw new DataError(
    `${path}: expected a SAM fine-tuned by sfr, received other metadata; give finetune/sam.safetensors of a run folder`,
  );
}

/** Settings that load such a file. @param checkpoint path of its base; null when it has none */
export function settingsOf(
  { size, canvas, input, scale, training }: SamMetadata,
  checkpoint: string | null,
): SamSettings {
  const lora = training.kind === "lora" ? { rank: training.rank, targets: [...training.targets] } : {};
  const adapters = training.kind === "adapter" ? { adapterRatio: training.ratio } : {};
  return samSettings.parse({
    ...{ size, canvas, input, scale, checkpoint, train: training.kind },
    ...{ ...lora, ...adapters },
  });
}

/** SHA-256 of the SAM without which the file is of no use; null where it holds every tensor. */
export function neededBase({ base, training }: SamMetadata): string | null {
  return training.kind === "all" ? null : (base?.sha256 ?? null);
}
