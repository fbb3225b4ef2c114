import { namingFile } from "../error-text.js";
import { DataError } from "../errors.js";
import { Graph } from "../graph/graph.js";
import { readSafetensors } from "../io/safetensors.js";
import type { SamNetwork } from "../models/sam/network.js";
import { finetunedNetwork, loadCheckpoint } from "./sam-file.js";
import { type SamMetadata, settingsOf } from "./sam-metadata.js";

/**
 * Makes the network of a file of finetune(); the caller disposes it.
 *
 * @param checkpoint the SAM that its weights belong to; null when the file holds all
 * @throws DataError naming the file when a tensor is missing or does not fit
 */
export async function loadTrainedSam(
  path: string,
  metadata: SamMetadata,
  checkpoint: string | null,
): Promise<SamNetwork> {
  const { size, canvas, classes } = metadata;
  const network = finetunedNetwork(settingsOf(metadata, checkpoint), classes);
  try {
    // Weights exist once a forward pass was described.
    const graph = new Graph();
    network.forward(graph, graph.input("canvas", "f32", [1, canvas, canvas]), false);
    if (checkpoint !== null) await loadCheckpoint(network, checkpoint);
    const { tensors } = await readSafetensors(path);
    const isGiven = (name: string) =>
      tensors.has(name) || (checkpoint !== null && name.startsWith("image_encoder."));
    const missing = [...network.weights.specs.keys()].find((name) => !isGiven(name));
    if (missing !== undefined)
      throw new DataError(`${path}: expected all tensors of a SAM ${size}, received none for ${missing}`);
    await namingFile(
      path,
      Promise.resolve().then(() => network.load(tensors)),
    );
    return network;
  } catch (error) {
    network.dispose();
    throw error;
  }
}
