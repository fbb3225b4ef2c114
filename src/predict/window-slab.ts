import type { Voxels } from "../config/schema.js";
import { Graph, type Program } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { Tensor } from "../native/tensor.js";
import type { RowSink } from "./volume-labels.js";
import type { Corner } from "./windows.js";

/**
 * Sums of probabilities over the slices that windows of one z position cover, and of the slices before them the result.
 * Where a volume is smaller than the patch the slab is larger: every window lies inside.
 */
export class WindowSlab implements Disposable {
  private readonly sums: Tensor;
  private readonly counts: Tensor;
  private readonly offset = Tensor.zeros("i32", [3]);
  /** By the axes that are mirrored. */
  private readonly accumulate = new Map<number, Program<never>>();
  private readonly finish: Program<"labels" | "means">;

  /**
   * @param result filled slice by slice
   * @param patch extents of a window, voxels (x, y, z)
   * @param start z of the slab's first slice in voxels of the volume; negative in the padding
   * @param weights f32 [d, h, w] of a window's voxels; undefined: all alike
   */
  constructor(
    private readonly result: RowSink,
    private readonly patch: Voxels,
    private start: number,
    private readonly weights: Tensor | undefined,
  ) {
    const [, height, width] = result.shape;
    const shape = [patch[2], Math.max(height, patch[1]), Math.max(width, patch[0])];
    this.sums = Tensor.zeros("f32", [...shape, result.classes]);
    this.counts = Tensor.zeros("f32", shape);
    const end = new Graph();
    const means = ops.windowMean(end.persistent(this.sums, "sums"), end.persistent(this.counts, "counts"));
    this.finish = end.compile({ labels: ops.argmax(means), means }, { onDevice: true });
  }

  /**
   * Adds the probabilities of a window whose first voxel is `corner`, at the slab's z.
   *
   * @param mirror axes along which the window was mirrored: the sum of 1 (x), 2 (y), 4 (z)
   */
  async add(logits: Tensor, corner: Corner, mirror = 0): Promise<void> {
    this.offset.data.set([Math.max(corner[0], 0), Math.max(corner[1], 0), 0]);
    let program = this.accumulate.get(mirror);
    if (program === undefined) {
      program = this.compileAccumulate(mirror);
      this.accumulate.set(mirror, program);
    }
    await program.run({ logits, offset: this.offset });
  }

  /** Finishes the slices before `z`, which no further window reaches, and moves the slab there. */
  async advance(z: number): Promise<void> {
    if (z === this.start) return;
    const { labels, means } = await this.finish.run();
    const [depth, height, width] = this.result.shape;
    const [slices = 0, rows = 0, columns = 0] = labels.shape;
    // Halves of the padding, as windowCorners has them.
    const [top, left] = [Math.floor((rows - height) / 2), Math.floor((columns - width) / 2)];
    const done = Math.min(z - this.start, slices);
    const [classes, probabilities] = [labels.u8, means.f32];
    for (let slice = 0; slice < done; slice++) {
      const to = this.start + slice;
      if (to < 0 || to >= depth) continue;
      for (let y = 0; y < height; y++) {
        const from = (slice * rows + top + y) * columns + left;
        this.result.row(to, y, classes, probabilities, from);
      }
    }
    for (const tensor of [this.sums, this.counts]) {
      const plane = tensor.count / slices;
      tensor.f32.copyWithin(0, done * plane).fill(0, tensor.count - done * plane);
    }
    this.start = z;
  }

  private compileAccumulate(mirror: number): Program<never> {
    const graph = new Graph();
    const [sums, counts] = [graph.persistent(this.sums, "sums"), graph.persistent(this.counts, "counts")];
    const [px, py, pz] = this.patch;
    const logits = graph.input("logits", "f32", [1, pz, py, px, this.result.classes]);
    const weights = this.weights === undefined ? undefined : graph.persistent(this.weights, "weights");
    ops.windowAccumulate(sums, counts, logits, graph.input("offset", "i32", [3]), { weights, mirror });
    return graph.compile({}, { onDevice: true });
  }

  [Symbol.dispose](): void {
    for (const program of [...this.accumulate.values(), this.finish]) program.dispose();
    for (const tensor of [this.sums, this.counts, this.offset]) tensor.dispose();
  }
}
