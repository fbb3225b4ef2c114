import type { Voxels } from "../config/schema.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import { channelsLast } from "../onnxruntime/channels.js";
import type { OnnxSession } from "../onnxruntime/session.js";
import type { WindowModel } from "../predict/window-model.js";
import { halfStride } from "../predict/windows.js";
import { stitchImage, unstitchLogits } from "../stitch/canvases.js";
import { inputPlan } from "../stitch/input-plan.js";
import { PartByPart } from "./part-by-part.js";
import type { SamMetadata } from "./sam-metadata.js";

/** A fine-tuned SAM in ONNX Runtime, from a file of `sfr export`; stitching and un-stitching are the native engine's. */
export class OnnxSamLabeller implements WindowModel {
  /** A gray canvas. */
  readonly channels = 1;
  readonly classes: number;
  readonly patch: Voxels;
  private readonly stitch: Program<"canvases">;
  private readonly unstitch: Program<"logits">;
  private readonly output: Tensor;
  private readonly quarter: Tensor;
  private readonly parts: PartByPart;

  /**
   * @param session of the file, which ends with this
   * @param addedBytes what the session will take of memory when it first runs, bytes
   */
  constructor(
    private readonly session: OnnxSession,
    metadata: Pick<SamMetadata, "classes" | "patch" | "input" | "scale" | "canvas">,
    readonly addedBytes: number,
  ) {
    const { classes, patch, canvas } = metadata;
    this.classes = classes;
    this.patch = patch;
    const plan = inputPlan(patch, metadata);
    const [width, height, depth] = plan.part;
    const [count, side] = [plan.geometry.canvases, canvas / 4];
    const before = new Graph();
    const part = before.input("part", "f32", [1, depth, height, width]);
    this.stitch = before.compile({
      canvases: ops.reshape(stitchImage(part, plan), [count, 1, canvas, canvas]),
    });
    const after = new Graph();
    const quarter = after.input("quarter", "f32", [count, side, side, classes]);
    this.unstitch = after.compile({
      logits: unstitchLogits(ops.resizeBilinear(quarter, [canvas, canvas]), plan),
    });
    this.output = Tensor.zeros("f32", [count, classes, side, side]);
    this.quarter = Tensor.zeros("f32", [count, side, side, classes]);
    this.parts = new PartByPart(patch, plan, classes);
  }

  /** 50 % overlap. */
  get usualStride(): Voxels {
    return halfStride(this.patch);
  }

  /** Of ONNX Runtime alone. */
  get busySeconds(): number {
    return this.session.busySeconds;
  }

  async logits(window: Tensor, signal?: AbortSignal): Promise<Tensor> {
    return this.parts.logits(window, async (part) => {
      const { canvases } = await this.stitch.run({ part }, signal);
      await this.session.run({ canvas: canvases }, { logits: this.output }, signal);
      channelsLast(this.output, this.quarter);
      return (await this.unstitch.run({ quarter: this.quarter }, signal)).logits;
    });
  }

  [Symbol.dispose](): void {
    this.session.dispose();
    this.parts[Symbol.dispose]();
    this.stitch.dispose();
    this.unstitch.dispose();
    this.output.dispose();
    this.quarter.dispose();
  }
}
