import type { Voxels } from "../config/schema.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import { channelsLast } from "../onnxruntime/channels.js";
import type { OnnxSession } from "../onnxruntime/session.js";
import type { WindowModel } from "../predict/window-model.js";
import { halfStride } from "../predict/windows.js";
import { stitchGeometry } from "../stitch/geometry.js";
import { gapImage } from "./canvas-batch.js";
import type { SamMetadata } from "./sam-metadata.js";

/** A fine-tuned SAM in ONNX Runtime, from a file of `sfr export`; stitching and un-stitching are the native engine's. */
export class OnnxSamLabeller implements WindowModel {
  readonly classes: number;
  readonly patch: Voxels;
  private readonly stitch: Program<"canvases">;
  private readonly unstitch: Program<"logits">;
  private readonly output: Tensor;
  private readonly quarter: Tensor;

  /** @param session of the file, which ends with this */
  constructor(
    private readonly session: OnnxSession,
    { classes, patch, canvas }: Pick<SamMetadata, "classes" | "patch" | "canvas">,
  ) {
    this.classes = classes;
    this.patch = patch;
    const geometry = stitchGeometry({ patch, canvas });
    const [count, side] = [geometry.canvases, canvas / 4];
    const before = new Graph();
    const crop = before.input("crop", "f32", [1, patch[2], patch[1], patch[0]]);
    this.stitch = before.compile({
      canvases: ops.reshape(ops.stitch(crop, geometry, gapImage), [count, 1, canvas, canvas]),
    });
    const after = new Graph();
    const quarter = after.input("quarter", "f32", [count, side, side, classes]);
    this.unstitch = after.compile({
      logits: ops.unstitch(ops.resizeBilinear(quarter, [canvas, canvas]), geometry),
    });
    this.output = Tensor.zeros("f32", [count, classes, side, side]);
    this.quarter = Tensor.zeros("f32", [count, side, side, classes]);
  }

  /** 50 % overlap. */
  get usualStride(): Voxels {
    return halfStride(this.patch);
  }

  /** Not known of ONNX Runtime. */
  get addedBytes(): number {
    return 0;
  }

  async logits(window: Tensor, signal?: AbortSignal): Promise<Tensor> {
    const { canvases } = await this.stitch.run({ crop: window }, signal);
    await this.session.run({ canvas: canvases }, { logits: this.output }, signal);
    channelsLast(this.output, this.quarter);
    return (await this.unstitch.run({ quarter: this.quarter }, signal)).logits;
  }

  [Symbol.dispose](): void {
    this.session.dispose();
    this.stitch.dispose();
    this.unstitch.dispose();
    this.output.dispose();
    this.quarter.dispose();
  }
}
