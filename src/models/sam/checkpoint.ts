import { DataError } from "../../errors.js";
import type { WeightSet } from "../../graph/weights.js";
import { type HostTensor, toFloat32 } from "../../io/host-tensor.js";
import { type SamConfig, samPatch } from "./config.js";

/** Tensors whose size depends on the number of classes: they stay freshly initialised when K differs. */
const perClass = /^mask_decoder\.(mask_tokens|output_hypernetworks_mlps|iou_prediction_head)/;

/**
 * Copies a SAM checkpoint (official names) into a network. When the canvas is not the checkpoint's, the absolute
 * position table and the relative tables of the global blocks are resized bilinearly (align_corners = false).
 * Throws DataError when an encoder tensor is missing or does not fit, or the file holds LoRA updates.
 */
export function loadSamCheckpoint(
  weights: WeightSet,
  state: ReadonlyMap<string, HostTensor>,
  config: SamConfig,
): void {
  if (state.has("w_a_000"))
    throw new DataError(
      "sam: expected a whole SAM as checkpoint, received LoRA updates (w_a_000, ...); give the SAM that they were trained on",
    );
  const grid = config.canvas / samPatch;
  const fitted = new Map<string, HostTensor>();
  for (const [name, tensor] of state) fitted.set(name, resizeTable(name, tensor, config, grid));
  const tokens = state.get("mask_decoder.mask_tokens.weight");
  if (tokens !== undefined && tokens.shape[0] !== config.classes)
    for (const name of fitted.keys()) if (perClass.test(name)) fitted.delete(name);
  const { missing } = weights.load(fitted);
  const lacking = missing.find((name) => name.startsWith("image_encoder."));
  if (lacking !== undefined)
    throw new DataError(
      `sam: expected tensor ${lacking} in the checkpoint, received none; give weights of this size`,
    );
}

function resizeTable(name: string, tensor: HostTensor, config: SamConfig, grid: number): HostTensor {
  if (name === "image_encoder.pos_embed") {
    const [, height = 0, width = 0, channels = 0] = tensor.shape;
    if (height === grid && width === grid) return tensor;
    const rows = resizeLinear(toFloat32(tensor), 1, height, grid, width * channels);
    const data = resizeLinear(rows, grid, width, grid, channels);
    return { dtype: "f32", shape: [1, grid, grid, channels], data };
  }
  const block = /^image_encoder\.blocks\.(\d+)\.attn\.rel_pos_[hw]$/.exec(name);
  if (block === null || !config.globalBlocks.includes(Number(block[1]))) return tensor;
  const [length = 0, channels = 0] = tensor.shape;
  const wanted = 2 * grid - 1;
  if (length === wanted) return tensor;
  const data = resizeLinear(toFloat32(tensor), 1, length, wanted, channels);
  return { dtype: "f32", shape: [wanted, channels], data };
}

/** Linear interpolation along the middle axis of [outer, from, inner] -> [outer, to, inner], half-pixel centres. */
function resizeLinear(
  x: Float32Array,
  outer: number,
  from: number,
  to: number,
  inner: number,
): Float32Array<ArrayBuffer> {
  const y = new Float32Array(outer * to * inner);
  for (let i = 0; i < to; i++) {
    const position = Math.max(((i + 0.5) * from) / to - 0.5, 0);
    const low = Math.min(Math.floor(position), from - 1);
    const high = Math.min(low + 1, from - 1);
    const share = position - low;
    for (let o = 0; o < outer; o++)
      for (let c = 0; c < inner; c++) {
        const a = x[(o * from + low) * inner + c] ?? 0;
        const b = x[(o * from + high) * inner + c] ?? 0;
        y[(o * to + i) * inner + c] = a + share * (b - a);
      }
  }
  return y;
}
