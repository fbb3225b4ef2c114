import type { Value } from "../../graph/graph.js";
import { type NetworkContext, tableLayer, weight } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { plainSpec } from "../../graph/weights.js";
import { type SamConfig, samPatch } from "./config.js";

/** What is left of SAM's prompt encoder when there are no points, boxes or masks. */
export interface EmptyPrompt {
  /** The dense embedding "no mask", [decoderWidth], the same at every position. */
  dense: Value;
  /** Random-Fourier position encoding of the grid, [S/16 * S/16, decoderWidth]. */
  positions: Value;
}

/** State-dict names `prompt_encoder.*`; the tensors for points, boxes and masks are not needed and not made. */
export function emptyPrompt(ctx: NetworkContext, config: SamConfig): EmptyPrompt {
  const width = config.decoderWidth;
  const grid = config.canvas / samPatch;
  const matrix = weight(
    ctx,
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    plainSpec([2, width / 2], { kind: "normal", scale: 1 }, "buffer"),
  );
  return {
    dense: ops.reshape(tableLayer(ctx, "prompt_encoder.no_mask_embed.weight", [1, width], "normal"), [width]),
    positions: ops.reshape(ops.fourierPositions(matrix, [grid, grid]), [grid * grid, width]),
  };
}
