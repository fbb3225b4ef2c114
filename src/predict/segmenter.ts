import { z } from "zod";
import type { Voxels } from "../config/schema.js";
import { DataError } from "../errors.js";
import { Graph, type Program, type Value } from "../graph/graph.js";
import { WeightSet } from "../graph/weights.js";
import { readSafetensors, writeSafetensors } from "../io/safetensors.js";
import { jsonOf, type TensorInfo } from "../io/tensor-file.js";
import { padded, unpadded } from "../models/segmenter.js";
import { type SegmenterModel, segmenters } from "../models/segmenters.js";
import { engineInfo } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import type { WindowModel } from "./window-model.js";
import { quarterStride } from "./windows.js";

const metadataSchema = z.object({
  model: z.enum(Object.keys(segmenters) as SegmenterModel[]),
  filters: z.int().min(1),
  classes: z.int().min(2),
  // Files from before there were several have none.
  channels: z.int().min(1).default(1),
  patch: z.tuple([z.int(), z.int(), z.int()]),
});

/** What a segmenter's file says of it, beside the weights. */
export type SegmenterMetadata = Omit<z.infer<typeof metadataSchema>, "patch"> & { patch: Voxels };

/** Writes a segmenter as safetensors: state-dict names and shapes of PyTorch, metadata under `sfr`. */
export async function saveSegmenter(
  path: string,
  weights: WeightSet,
  metadata: SegmenterMetadata,
): Promise<void> {
  await writeSafetensors(path, weights.toState(), { sfr: JSON.stringify(metadata) });
}

/**
 * Metadata of a segmenter by its tensors, as the authors' programs save it; undefined when they are no segmenter's.
 *
 * @param patch extents of the network's input, voxels (x, y, z)
 */
export function recognisedSegmenter(
  tensors: ReadonlyMap<string, TensorInfo>,
  patch: Voxels,
): SegmenterMetadata | undefined {
  for (const model of Object.keys(segmenters) as SegmenterModel[]) {
    const { firstWeight, headWeight } = segmenters[model];
    const [filters, channels] = tensors.get(firstWeight)?.shape ?? [];
    const [classes, inputs] = tensors.get(headWeight)?.shape ?? [];
    if (filters === undefined || channels === undefined || classes === undefined) continue;
    if (inputs === filters && classes >= 2) return { model, filters, classes, channels, patch };
  }
  return undefined;
}

/** A trained network, for any number of graphs. */
export interface SegmenterFile {
  /** Its tensors; the caller disposes them. */
  readonly weights: WeightSet;
  readonly metadata: SegmenterMetadata;
  /** x [N, D, H, W, channels] -> logits [N, D, H, W, K]. */
  forward(graph: Graph, x: Value): Value;
  /** The same, and the map [N, D, H, W, channels] that its head reads. */
  features(graph: Graph, x: Value): { map: Value; logits: Value };
}

/** Metadata of a segmenter from the entry `sfr` of a weights file; undefined when it says something else. */
export function segmenterMetadata(entry: string | undefined): SegmenterMetadata | undefined {
  return metadataSchema.safeParse(jsonOf(entry)).data;
}

/** Reads a file of saveSegmenter(). Throws DataError when it is not one, or lacks a tensor. */
export async function readSegmenter(path: string): Promise<SegmenterFile> {
  const file = await readSafetensors(path);
  const metadata = segmenterMetadata(file.metadata.sfr);
  if (metadata === undefined)
    throw new DataError(
      `${path}: expected a segmenter written by sfr, received other metadata; give its weights file`,
    );
  const { model, filters, classes, channels, patch } = metadata;
  const weights = new WeightSet("student", 0, "from-file");
  const features = (graph: Graph, x: Value) => {
    const context = { graph, weights, training: false, updateStatistics: false };
    const [network, size] = [segmenters[model], { filters, classes, dropout: 0 }];
    const [finest] = network.decode(context, network.encode(context, padded(x), size), size);
    const map = unpadded(finest, x.shape);
    return { map, logits: network.head(context, map, size) };
  };
  const forward = (graph: Graph, x: Value) => features(graph, x).logits;
  try {
    // Tensors exist once a forward pass was described.
    const graph = new Graph();
    forward(graph, graph.input("x", "f32", [1, patch[2], patch[1], patch[0], channels]));
    const [missing] = weights.load(file.tensors).missing;
    if (missing !== undefined)
      throw new DataError(
        `${path}: expected all tensors of a ${segmenters[model].title}, received none for ${missing}`,
      );
    return { weights, metadata, forward, features };
  } catch (error) {
    weights.dispose();
    throw error;
  }
}

/** A trained segmenter, ready to predict; needs neither SAM nor the training's settings. */
export class Segmenter implements WindowModel {
  private readonly input: Tensor;

  private constructor(
    private readonly weights: WeightSet,
    private readonly program: Program<"logits">,
    /** K, background included. */
    readonly classes: number,
    readonly channels: number,
    /** Extents of the network's input, voxels (x, y, z). */
    readonly patch: Voxels,
  ) {
    this.input = Tensor.zeros("f32", [1, patch[2], patch[1], patch[0], channels]);
  }

  /** Reads a file of saveSegmenter(). Throws DataError when it is not one. */
  static async load(path: string): Promise<Segmenter> {
    const { weights, metadata, forward } = await readSegmenter(path);
    const { classes, channels, patch } = metadata;
    const graph = new Graph();
    const logits = forward(graph, graph.input("x", "f32", [1, patch[2], patch[1], patch[0], channels]));
    return new Segmenter(weights, graph.compile({ logits }, { onDevice: true }), classes, channels, patch);
  }

  get usualStride(): Voxels {
    return quarterStride(this.patch);
  }

  get addedBytes(): number {
    return this.program.addedBytes;
  }

  get busySeconds(): number {
    return engineInfo().busySeconds;
  }

  async logits(window: Tensor, signal?: AbortSignal): Promise<Tensor> {
    this.input.f32.set(window.f32);
    return (await this.program.run({ x: this.input }, signal)).logits;
  }

  dispose(): void {
    this.program.dispose();
    this.weights.dispose();
    this.input.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
