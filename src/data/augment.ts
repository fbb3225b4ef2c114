import type { Voxels } from "../config/schema.js";
import { UsageError } from "../errors.js";
import { Graph } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { ProgramCache } from "../graph/program-cache.js";
import type { RandomStream } from "../graph/random.js";
import { Tensor } from "../native/tensor.js";

/** Where a crop is taken and how the volume is turned before: cpp/ops/crop/crop.h. */
export interface CropDraw {
  /** Corner of the crop in voxels of the turned volume, (x, y, z); negative where it reaches into the padding. */
  corner: Voxels;
  /** Quarter turns in the x-y plane. */
  turns: number;
  /** 0 none, 1 flips x, 2 flips y. */
  flip: number;
}

/**
 * Draws a random rotation, flip and crop as the semi-supervised recipes do: k*90 degrees in the x-y plane, then always
 * one flip of x or y; if any extent is at most the patch's, every axis is padded by max((patch - extent) // 2 + 3, 0)
 * on both sides; the corner is uniform in [0, extent - patch - 1].
 *
 * @param extents of the volume in voxels, (x, y, z)
 */
export function drawCrop(stream: RandomStream, extents: Voxels, patch: Voxels, rotate: boolean): CropDraw {
  const turns = rotate ? stream.integer(4) : 0;
  const flip = rotate ? 1 + stream.integer(2) : 0;
  const turned: Voxels = turns % 2 === 1 ? [extents[1], extents[0], extents[2]] : extents;
  const small = turned.some((extent, axis) => extent <= (patch[axis] ?? 0));
  const corner = [0, 1, 2].map((axis) => {
    const [extent, size] = [turned[axis] ?? 0, patch[axis] ?? 0];
    const padding = small ? Math.max(Math.floor((size - extent) / 2) + 3, 0) : 0;
    return stream.integer(Math.max(extent + 2 * padding - size, 1)) - padding;
  });
  return { corner: [corner[0] ?? 0, corner[1] ?? 0, corner[2] ?? 0], turns, flip };
}

/** Takes crops from volumes by native code. */
export class Cropper implements Disposable {
  private readonly programs = new ProgramCache();
  private readonly parameters = Tensor.zeros("i32", [5]);

  constructor(private readonly patch: Voxels) {}

  /**
   * Writes the crop of `volume` (f32 or u8 [D,H,W]) into sample `index` of `batch` ([N,d,h,w] or [N,d,h,w,1], same
   * type).
   */
  into(batch: Tensor, index: number, volume: Tensor, draw: CropDraw): Promise<void> {
    return this.channelsInto(batch, index, [volume], draw);
  }

  /** The same crop of C channels [D,H,W] of one shape and type, into `batch` [N,d,h,w,C]. */
  async channelsInto(
    batch: Tensor,
    index: number,
    channels: readonly Tensor[],
    draw: CropDraw,
  ): Promise<void> {
    const [x, y, z] = this.patch;
    const [first] = channels;
    if (first === undefined) throw new UsageError("crop: expected at least one channel, received none");
    const key = `${channels.length} ${first.dtype} ${first.shape.join("x")}`;
    const program = this.programs.get(key, () => {
      const graph = new Graph();
      const parameters = graph.input("parameters", "i32", [5]);
      const crops = channels.map(({ dtype, shape }, c) =>
        ops.cropRotFlip(graph.input(`x${c}`, dtype, shape), parameters, [z, y, x]),
      );
      const [crop] = crops;
      const last = crops.map((each) => ops.reshape(each, [z, y, x, 1]));
      return graph.compile({ y: crops.length === 1 && crop !== undefined ? crop : ops.concat(last, 3) });
    });
    this.parameters.data.set([...draw.corner, draw.turns, draw.flip]);
    const volumes = Object.fromEntries(channels.map((channel, c) => [`x${c}`, channel]));
    const { y: crop } = await program.run({ ...volumes, parameters: this.parameters });
    batch.data.set(crop.data, index * crop.count);
  }

  dispose(): void {
    this.programs.dispose();
    this.parameters.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
