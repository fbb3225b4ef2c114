import type { SamSettings, Voxels } from "../config/schema.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import type { SamNetwork } from "../models/sam/network.js";
import { fullResolution } from "../models/sam/sam.js";
import { engineInfo, type Precision } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import type { WindowModel } from "../predict/window-model.js";
import { halfStride } from "../predict/windows.js";
import { stitchImage, unstitchLogits } from "../stitch/canvases.js";
import { type InputPlan, inputPlan } from "../stitch/input-plan.js";
import { PartByPart } from "./part-by-part.js";
import { finetunedNetwork, loadFinetuned } from "./sam-file.js";

/** A fine-tuned SAM that labels crops and volumes as its training saw them. */
export class SamLabeller implements WindowModel {
  private readonly stitched: Program<"logits" | "labels">;
  private readonly parts: PartByPart;

  /** @param network owned by this; its weights may be trained meanwhile, the ones it has when it labels count */
  constructor(
    private readonly network: SamNetwork,
    /** Extents of a crop, voxels (x, y, z). */
    readonly patch: Voxels,
    /** How crops go through SAM; for pictures. */
    readonly plan: InputPlan,
  ) {
    const [width, height, depth] = plan.part;
    const graph = new Graph();
    const canvases = stitchImage(graph.input("part", "f32", [1, depth, height, width]), plan);
    const full = fullResolution(network.forward(graph, canvases, false), network.config);
    const logits = unstitchLogits(full, plan);
    const bf16Activations = network.precision === "bf16";
    const outputs = { logits, labels: ops.argmax(logits) };
    this.stitched = graph.compile(outputs, { bf16Activations, onDevice: true });
    this.parts = new PartByPart(patch, plan, network.config.classes);
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
    const labeller = new SamLabeller(network, patch, inputPlan(patch, sam));
    await loadFinetuned(network, sam, weightsPath);
    return labeller;
  }

  /** A gray canvas. */
  readonly channels = 1;

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
    const size = crops.count / (crops.shape[0] ?? 1);
    for (let begin = 0; begin < crops.count; begin += size)
      await this.parts.each(crops.f32.subarray(begin, begin + size), async (part, first) => {
        labels.u8.set((await this.stitched.run({ part }, signal)).labels.u8, begin + first);
      });
    return labels;
  }

  /** 50 % overlap. */
  get usualStride(): Voxels {
    return halfStride(this.patch);
  }

  get busySeconds(): number {
    return engineInfo().busySeconds;
  }

  async logits(window: Tensor, signal?: AbortSignal): Promise<Tensor> {
    return this.parts.logits(window, async (part) => (await this.stitched.run({ part }, signal)).logits);
  }

  dispose(): void {
    this.stitched.dispose();
    this.network.dispose();
    this.parts[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
