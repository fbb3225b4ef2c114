import type { SamSettings } from "../config/schema.js";
import { DataError } from "../errors.js";
import type { HostTensor } from "../io/host-tensor.js";
import { readPth } from "../io/pth/pth.js";
import { readSafetensors } from "../io/safetensors.js";
import { samConfig } from "../models/sam/config.js";
import { SamNetwork, type SamTraining } from "../models/sam/network.js";
import { namingFile } from "../run/error-text.js";

/** What trains under these settings; `auto` is LoRA with a checkpoint and everything without. */
export function samTraining(settings: SamSettings): SamTraining {
  const lora = settings.train === "lora" || (settings.train === "auto" && settings.checkpoint !== null);
  return lora ? { kind: "lora", rank: settings.rank } : { kind: "all" };
}

/** A network of these settings, its weights not yet made. */
export function samNetwork(settings: SamSettings, classes: number, seed: number): SamNetwork {
  return new SamNetwork(samConfig(settings.size, settings.canvas, classes), samTraining(settings), seed);
}

/** Reads weights from `.safetensors` or `.pth`. Throws DataError for other names and broken files. */
export async function readWeights(path: string): Promise<ReadonlyMap<string, HostTensor>> {
  if (path.endsWith(".safetensors")) return (await readSafetensors(path)).tensors;
  if (path.endsWith(".pth") || path.endsWith(".pt")) return readPth(path);
  throw new DataError(`${path}: expected weights named .safetensors or .pth, received another name`);
}

/** Takes SAM's weights from a checkpoint file. Throws DataError naming the file when they do not fit. */
export async function loadCheckpoint(network: SamNetwork, path: string): Promise<void> {
  await namingFile(
    path,
    readWeights(path).then((state) => network.loadCheckpoint(state)),
  );
}
