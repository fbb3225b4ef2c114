import type { FinetuneSettings } from "../config/schema.js";
import { Cropper, drawCrop } from "../data/augment.js";
import type { PreparedCase } from "../data/prepare.js";
import { DataError } from "../errors.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { RandomStream } from "../graph/random.js";
import { Tensor } from "../native/tensor.js";
import { stitchImage, stitchLabels } from "../stitch/canvases.js";
import type { InputPlan } from "../stitch/input-plan.js";
import { type CropSlices, type Disruption, disruptionOf } from "./disruption.js";

/** Canvases f32 [N, S, S] of a training step and their labels u8; each crop has as many as its plan says. */
export interface CanvasBatch {
  readonly canvases: Tensor;
  readonly labels: Tensor;
}

/**
 * Makes training canvases: a turned crop of a case, of as many slices as SAM sees at once, intensity-mapped slice by
 * slice, stitched, and the canvas turned again. Every draw depends on (seed, step, sample) alone.
 */
export class CanvasMaker implements Disposable {
  private readonly cropper: Cropper;
  private readonly slices: CropSlices;
  private readonly points: Tensor;
  private readonly apply: Tensor;
  private readonly turn: Tensor;
  private readonly program: Program<"canvases" | "labels">;
  private readonly disturb: Disruption | undefined;

  /** @param classes K, background included */
  constructor(
    private readonly plan: InputPlan,
    private readonly settings: FinetuneSettings,
    classes: number,
    private readonly seed: number,
  ) {
    const patch = plan.part;
    const shape = [1, patch[2], patch[1], patch[0]];
    this.disturb = disruptionOf(settings, plan);
    this.cropper = new Cropper(patch);
    this.slices = { image: Tensor.zeros("f32", shape), label: Tensor.zeros("u8", shape) };
    this.points = Tensor.zeros("f32", [patch[2], 4]);
    this.apply = Tensor.zeros("i32", [patch[2]]);
    this.turn = Tensor.zeros("i32", [plan.geometry.canvases, 2]);
    const graph = new Graph();
    const image = ops.reshape(graph.input("image", "f32", shape), shape.slice(1));
    const points = graph.input("points", "f32", this.points.shape);
    const mapped = ops.reshape(
      ops.intensityMap(image, points, graph.input("apply", "i32", this.apply.shape)),
      shape,
    );
    const turn = graph.input("turn", "i32", this.turn.shape);
    this.program = graph.compile({
      canvases: ops.rotFlipCanvas(stitchImage(mapped, plan), turn),
      labels: ops.rotFlipCanvas(stitchLabels(graph.input("label", "u8", shape), plan, classes), turn),
    });
  }

  /** Fills a batch with one crop of each case for step t. Throws DataError when a case has no label. */
  async fill(t: number, cases: readonly PreparedCase[], batch: CanvasBatch): Promise<void> {
    for (const [i, entry] of cases.entries())
      await this.ofCase(new RandomStream(this.seed, t, `finetune/${i}`), entry, batch, i, t);
  }

  /**
   * Stitches a crop of a case, drawn from `stream`, as crop `index` of a batch, its slices disturbed as in step `t` of the
   * fine-tuning if one is given. Throws DataError without a label.
   */
  async ofCase(
    stream: RandomStream,
    { image, label, id }: PreparedCase,
    batch: CanvasBatch,
    index: number,
    t?: number,
  ): Promise<void> {
    if (label === undefined)
      throw new DataError(`finetune: expected a label for case '${id}', received none`);
    const [z = 0, y = 0, x = 0] = image.shape;
    const draw = drawCrop(stream, [x, y, z], this.plan.part, true);
    await this.cropper.into(this.slices.image, 0, image, draw);
    await this.cropper.into(this.slices.label, 0, label, draw);
    if (t !== undefined) await this.disturb?.(stream, this.slices, (t + 1) / this.settings.steps);
    await this.stitch(stream, batch, index);
  }

  /**
   * The same with a crop that was taken before: values and labels [D, H, W] of the patch's extents. Where SAM sees fewer
   * slices at once, so many neighbours are drawn.
   */
  async ofCrop(
    stream: RandomStream,
    values: Float32Array,
    labels: Uint8Array,
    batch: CanvasBatch,
    index: number,
  ): Promise<void> {
    const { image, label } = this.slices;
    const { count, shape } = image;
    const slice = count / (shape[1] ?? 1);
    const first = values.length > count ? slice * stream.integer((values.length - count) / slice + 1) : 0;
    image.f32.set(values.subarray(first, first + count));
    label.u8.set(labels.subarray(first, first + count));
    await this.stitch(stream, batch, index);
  }

  private async stitch(stream: RandomStream, batch: CanvasBatch, index: number): Promise<void> {
    this.drawIntensityMaps(stream);
    this.drawTurns(stream);
    const { slices, points, apply, turn } = this;
    const { canvases, labels } = await this.program.run({ ...slices, points, apply, turn });
    batch.canvases.data.set(canvases.data, index * canvases.count);
    batch.labels.data.set(labels.data, index * labels.count);
  }

  private drawIntensityMaps(stream: RandomStream): void {
    for (let slice = 0; slice < this.plan.part[2]; slice++) {
      this.apply.data[slice] = stream.uniform() < this.settings.intensityMap ? 1 : 0;
      for (let k = 0; k < 4; k++) this.points.data[4 * slice + k] = stream.uniform();
    }
  }

  private drawTurns(stream: RandomStream): void {
    for (let canvas = 0; canvas < this.plan.geometry.canvases; canvas++) {
      this.turn.data[2 * canvas] = this.settings.rotateCanvas ? stream.integer(4) : 0;
      this.turn.data[2 * canvas + 1] = this.settings.rotateCanvas ? 1 + stream.integer(2) : 0;
    }
  }

  dispose(): void {
    this.cropper.dispose();
    this.program.dispose();
    for (const tensor of [this.slices.image, this.slices.label, this.points, this.apply, this.turn])
      tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
