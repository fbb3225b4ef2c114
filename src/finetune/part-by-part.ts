import type { Voxels } from "../config/schema.js";
import { Tensor } from "../native/tensor.js";
import { type InputPlan, partStarts } from "../stitch/input-plan.js";

/** Takes whole crops through a network that sees parts of them. */
export class PartByPart implements Disposable {
  private readonly part: Tensor;
  private readonly starts: readonly number[];
  /** f32 [1, D, H, W, K] where a crop has several parts. */
  private readonly whole: Tensor | undefined;

  /** @param patch extents of a crop, voxels (x, y, z) */
  constructor([width, height, depth]: Voxels, plan: InputPlan, classes: number) {
    this.part = Tensor.zeros("f32", [1, plan.part[2], height, width]);
    this.starts = partStarts(depth, plan);
    this.whole =
      this.starts.length === 1 ? undefined : Tensor.zeros("f32", [1, depth, height, width, classes]);
  }

  /**
   * Calls `work` with each part f32 [1, d, H, W] of a crop.
   *
   * @param crop values [z][y][x]
   * @param work told the part's first voxel in the crop's values
   */
  async each(crop: Float32Array, work: (part: Tensor, first: number) => Promise<void>): Promise<void> {
    const slice = this.part.count / (this.part.shape[1] ?? 1);
    for (const start of this.starts) {
      const first = start * slice;
      this.part.f32.set(crop.subarray(first, first + this.part.count));
      await work(this.part, first);
    }
  }

  /** Logits [.., D, H, W, K] of a crop f32 [1, D, H, W] from those of its parts; valid until the next call. */
  async logits(crop: Tensor, ofPart: (part: Tensor) => Promise<Tensor>): Promise<Tensor> {
    const { whole } = this;
    if (whole === undefined) return ofPart(crop);
    await this.each(crop.f32, async (part, first) => {
      whole.f32.set((await ofPart(part)).f32, first * (whole.shape.at(-1) ?? 1));
    });
    return whole;
  }

  [Symbol.dispose](): void {
    this.part.dispose();
    this.whole?.dispose();
  }
}
