import type { Voxels } from "../config/schema.js";
import type { Tensor } from "../native/tensor.js";

/**
 * A network with its weights, on whatever engine, as prediction sees it: windows of a volume go in, class logits come
 * out. Stitching to canvases and back is inside.
 */
export interface WindowModel extends Disposable {
  /** Of the images that it takes. */
  readonly channels: number;
  /** K, background included. */
  readonly classes: number;
  /** Extents of a window, voxels (x, y, z). */
  readonly patch: Voxels;
  /** Step between windows when nobody asks for another, voxels (x, y, z). */
  readonly usualStride: Voxels;
  /** Memory that the first window takes in addition to what the process holds now, bytes. */
  readonly addedBytes: number;
  /** How long its engine has worked in this process, on whatever, seconds; a call in flight does not count yet. */
  readonly busySeconds: number;
  /**
   * @param window f32 [1, D, H, W] of the patch's extents, or [1, D, H, W, channels] of several channels, z-scored
   * @returns logits f32 [1, D, H, W, K] or [D, H, W, K], valid until the next call
   */
  logits(window: Tensor, signal?: AbortSignal): Promise<Tensor>;
}
