import { resizeLinear } from "../../data/resize-linear.js";
import { type HostTensor, toFloat32 } from "../../io/host-tensor.js";
import { type SamConfig, samPatch } from "./config.js";

/**
 * Whether a tensor is a position table that can be brought from one grid to another: the absolute one, and the relative
 * ones of the global blocks. Extents of at least 1 and equal channels.
 */
export function isResizable(
  name: string,
  from: readonly number[],
  to: readonly number[],
  config: SamConfig,
): boolean {
  const block = /^image_encoder\.blocks\.(\d+)\.attn\.rel_pos_[hw]$/.exec(name);
  const isTable =
    name === "image_encoder.pos_embed" || (block !== null && config.globalBlocks.includes(Number(block[1])));
  const fits = from.length === to.length && from.at(-1) === to.at(-1) && from.every((extent) => extent >= 1);
  return isTable && fits && (to.length === 2 || from[0] === to[0]);
}

/** Brings a position table to the canvas's grid, bilinearly (align_corners = false). */
export function resizeTable(name: string, tensor: HostTensor, config: SamConfig): HostTensor {
  const grid = config.canvas / samPatch;
  if (name === "image_encoder.pos_embed") {
    const [, height = 0, width = 0, channels = 0] = tensor.shape;
    const rows = resizeLinear(toFloat32(tensor), 1, height, grid, width * channels);
    const data = resizeLinear(rows, grid, width, grid, channels);
    return { dtype: "f32", shape: [1, grid, grid, channels], data };
  }
  const [length = 0, channels = 0] = tensor.shape;
  const wanted = 2 * grid - 1;
  const data = resizeLinear(toFloat32(tensor), 1, length, wanted, channels);
  return { dtype: "f32", shape: [wanted, channels], data };
}
