import type { Value } from "../../graph/graph.js";
import { type NetworkContext, tableLayer, weight } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { fanInUniform, type Initial, plainSpec } from "../../graph/weights.js";
import { type SamConfig, samPatch } from "./config.js";

/** What is left of SAM's prompt encoder when there are no points, boxes or masks. */
export interface EmptyPrompt {
  /** The dense embedding "no mask", [decoderWidth], the same at every position. */
  dense: Value;
  /** Random-Fourier position encoding of the grid, [S/16 * S/16, decoderWidth]. */
  positions: Value;
}

/** Channels of a mask given as prompt, before it joins the image. */
const maskChannels = 16;

/** State-dict names `prompt_encoder.*`; the tensors for points, boxes and masks are kept for the file and not used. */
export function emptyPrompt(ctx: NetworkContext, config: SamConfig): EmptyPrompt {
  const width = config.decoderWidth;
  const grid = config.canvas / samPatch;
  const matrix = weight(
    ctx,
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    plainSpec([2, width / 2], { kind: "normal", scale: 1 }, "buffer"),
  );
  keepPrompts(ctx, width);
  return {
    dense: ops.reshape(tableLayer(ctx, "prompt_encoder.no_mask_embed.weight", [1, width], "normal"), [width]),
    positions: ops.reshape(ops.fourierPositions(matrix, [grid, grid]), [grid * grid, width]),
  };
}

/** The tensors for points, boxes and masks: PyTorch programs expect them in a file, also in one of LoRA updates. */
function keepPrompts(ctx: NetworkContext, width: number): void {
  const keep = (name: string, shape: readonly number[], initial: Initial) =>
    ctx.weights.tensor(`prompt_encoder.${name}`, plainSpec(shape, initial, "unused"));
  for (let i = 0; i < 4; i++) keep(`point_embeddings.${i}.weight`, [1, width], { kind: "normal", scale: 1 });
  keep("not_a_point_embed.weight", [1, width], { kind: "normal", scale: 1 });
  for (const [at, out, inputs, kernel] of [
    [0, maskChannels / 4, 1, 2],
    [3, maskChannels, maskChannels / 4, 2],
    [6, width, maskChannels, 1],
  ] as const) {
    const initial = fanInUniform(inputs * kernel ** 2);
    keep(`mask_downscaling.${at}.weight`, [out, inputs, kernel, kernel], initial);
    keep(`mask_downscaling.${at}.bias`, [out], initial);
  }
  for (const [at, channels] of [
    [1, maskChannels / 4],
    [4, maskChannels],
  ] as const) {
    keep(`mask_downscaling.${at}.weight`, [channels], { kind: "constant", value: 1 });
    keep(`mask_downscaling.${at}.bias`, [channels], { kind: "constant", value: 0 });
  }
}
