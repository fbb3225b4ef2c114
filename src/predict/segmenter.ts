import { z } from "zod";
import type { Voxels } from "../config/schema.js";
import { DataError } from "../errors.js";
import { Graph, type Program } from "../graph/graph.js";
import { WeightSet } from "../graph/weights.js";
import { readSafetensors, writeSafetensors } from "../io/safetensors.js";
import { jsonOf, type TensorInfo } from "../io/tensor-file.js";
import { type SegmenterModel, segmenters } from "../models/segmenters.js";
import { Tensor } from "../native/tensor.js";
import { slidingWindow } from "./sliding-window.js";
import { quarterStride } from "./windows.js";

const metadataSchema = z.object({
  model: z.enum(Object.keys(segmenters) as SegmenterModel[]),
  filters: z.int().min(1),
  classes: z.int().min(2),
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
 * Metadata of a V-Net by its tensors, as the SFR authors' programs save it; undefined when they are no V-Net's.
 *
 * @param patch extents of the network's input, voxels (x, y, z)
 */
export function vnetMetadata(
  tensors: ReadonlyMap<string, TensorInfo>,
  patch: Voxels,
): SegmenterMetadata | undefined {
  const filters = tensors.get("block_one.conv.0.weight")?.shape[0];
  const head = tensors.get("out_conv.weight")?.shape;
  const classes = head?.[0];
  if (filters === undefined || classes === undefined || head?.[1] !== filters || classes < 2)
    return undefined;
  return { model: "vnet", filters, classes, patch };
}

/** A trained segmenter, ready to predict; needs neither SAM nor the training's settings. */
export class Segmenter implements Disposable {
  private constructor(
    private readonly weights: WeightSet,
    private readonly program: Program<"logits">,
    /** K, background included. */
    readonly classes: number,
    /** Extents of the network's input, voxels (x, y, z). */
    readonly patch: Voxels,
  ) {}

  /** Reads a file of saveSegmenter(). Throws DataError when it is not one. */
  static async load(path: string): Promise<Segmenter> {
    const { tensors, metadata } = await readSafetensors(path);
    const parsed = metadataSchema.safeParse(jsonOf(metadata.sfr));
    if (!parsed.success)
      throw new DataError(
        `${path}: expected a segmenter written by sfr, received other metadata; give its weights file`,
      );
    const { model, filters, classes, patch } = parsed.data;
    const graph = new Graph();
    const weights = new WeightSet("student", 0);
    const x = graph.input("x", "f32", [1, patch[2], patch[1], patch[0], 1]);
    const context = { graph, weights, training: false, updateStatistics: false };
    const logits = segmenters[model].build(context, x, { filters, classes, dropout: 0 });
    const program = graph.compile({ logits });
    const report = weights.load(tensors);
    if (report.missing.length > 0)
      throw new DataError(
        `${path}: expected all tensors of a ${segmenters[model].title}, received none for ${report.missing[0]}`,
      );
    return new Segmenter(weights, program, classes, patch);
  }

  /**
   * Labels of a volume by sliding window.
   *
   * @param image f32 [D, H, W], z-scored; extents may be smaller than the patch
   * @param stride voxels (x, y, z); null: a quarter of the patch
   * @returns u8 [D, H, W], classes 0..K-1
   */
  async predict(
    image: Tensor,
    stride: Voxels | null,
    options: { signal?: AbortSignal; onWindow?(done: number, total: number): void } = {},
  ): Promise<Tensor> {
    using input = Tensor.zeros("f32", [1, this.patch[2], this.patch[1], this.patch[0], 1]);
    return await slidingWindow(
      image,
      async (patch, signal) => {
        input.f32.set(patch.f32);
        return (await this.program.run({ x: input }, signal)).logits;
      },
      { classes: this.classes, patch: this.patch, stride: stride ?? quarterStride(this.patch), ...options },
    );
  }

  dispose(): void {
    this.program.dispose();
    this.weights.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
