import type { SamSettings, Voxels } from "../config/schema.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import type { SamNetwork } from "../models/sam/network.js";
import { fullResolution } from "../models/sam/sam.js";
import type { Precision } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import type { WindowModel } from "../predict/window-model.js";
import { halfStride } from "../predict/windows.js";
import { type StitchGeometry, stitchGeometry } from "../stitch/geometry.js";
import { gapImage } from "./canvas-batch.js";
import { finetunedNetwork, loadFinetuned } from "./sam-file.js";

/** A fine-tuned SAM that labels crops and volumes through stitched canvases of its training's plan. */
export class SamLabeller implements WindowModel {
  private readonly stitched: Program<"logits" | "labels">;
  private readonly crop: Tensor;

  private constructor(
    private readonly network: SamNetwork,
    private readonly geometry: StitchGeometry,
    /** Extents of a crop, voxels (x, y, z). */
    readonly patch: Voxels,
  ) {
    const shape = [1, patch[2], patch[1], patch[0]];
    const graph = new Graph();
    const canvases = ops.stitch(graph.input("crop", "f32", shape), geometry, gapImage);
    const logits = ops.unstitch(
      fullResolution(network.forward(graph, canvases, false), network.config),
      geometry,
    );
    this.stitched = graph.compile({ logits, labels: ops.argmax(logits) });
    this.crop = Tensor.zeros("f32", shape);
  }

  /** A labeller with the weights that a network has when it labels; they may be trained meanwhile. Owns the network. */
  static of(network: SamNetwork, patch: Voxels): SamLabeller {
    return new SamLabeller(network, stitchGeometry({ patch, canvas: network.config.canvas }), patch);
  }

  /**
   * Reads weights written by finetune(); the frozen encoder comes from the checkpoint when there was one.
   * Throws DataError when they do not fit the settings.
   */
  static async load(
    weightsPath: string,
    options: { sam: SamSettings; classes: number; patch: Voxels; precision?: Precision },
  ): Promise<SamLabeller> {
    const { sam, classes, patch, precision } = options;
    const network = finetunedNetwork(sam, classes, precision);
    const labeller = SamLabeller.of(network, patch);
    await loadFinetuned(network, sam, weightsPath);
    return labeller;
  }

  /** K, background included. */
  get classes(): number {
    return this.network.config.classes;
  }

  /** Memory that labelling takes in addition to what the process holds now, bytes. */
  get addedBytes(): number {
    return this.stitched.addedBytes;
  }

  /** Labels of crops f32 [N, D, H, W] of the training's patch size -> u8 [N, D, H, W]; one crop at a time. */
  async labelCrops(crops: Tensor, signal?: AbortSignal): Promise<Tensor> {
    const labels = Tensor.zeros("u8", crops.shape);
    const size = this.crop.count;
    for (let i = 0; i < crops.count / size; i++) {
      this.crop.f32.set(crops.f32.subarray(i * size, (i + 1) * size));
      labels.u8.set((await this.stitched.run({ crop: this.crop }, signal)).labels.u8, i * size);
    }
    return labels;
  }

  /** 50 % overlap. */
  get usualStride(): Voxels {
    return halfStride(this.patch);
  }

  async logits(window: Tensor, signal?: AbortSignal): Promise<Tensor> {
    return (await this.stitched.run({ crop: window }, signal)).logits;
  }

  /** Where each slice of a crop lies on its canvases; for pictures. */
  get plan(): StitchGeometry {
    return this.geometry;
  }

  dispose(): void {
    this.stitched.dispose();
    this.network.dispose();
    this.crop.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
