import { UsageError } from "../../errors.js";
import type { Value } from "../../graph/graph.js";
import type { NetworkContext } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { type SamConfig, samPatch } from "./config.js";
import { type Addition, imageEncoder } from "./image-encoder.js";
import { maskDecoder } from "./mask-decoder.js";
import { emptyPrompt } from "./prompt-encoder.js";

/**
 * Segment Anything with the prompts stripped: K class logits of a stitched canvas. The gray canvas is repeated to
 * three channels with pixel mean 0 and std 1, so the z-scored values go in as they are.
 *
 * @param canvas [N, S, S]
 * @returns logits [N, S/4, S/4, K]
 * @throws UsageError when the canvas is not of the configured size or no multiple of 16
 */
export function sam(ctx: NetworkContext, canvas: Value, config: SamConfig, added?: Addition): Value {
  if (config.canvas % samPatch !== 0)
    throw new UsageError(`sam: expected a multiple of ${samPatch} for canvas, received ${config.canvas}`);
  const [n, height, width] = canvas.shape;
  if (n === undefined || height !== config.canvas || width !== config.canvas)
    throw new UsageError(
      `sam: expected canvases of ${config.canvas} x ${config.canvas}, received [${canvas.shape.join(", ")}]`,
    );
  return ctx.graph.within(ctx.weights.name, () => {
    const gray = ops.reshape(canvas, [n, config.canvas, config.canvas, 1]);
    const embedding = imageEncoder(ctx, ops.concat([gray, gray, gray], 3), config, added);
    return maskDecoder(ctx, embedding, emptyPrompt(ctx, config), config);
  });
}

/** Logits at the canvas's resolution: [N, S/4, S/4, K] -> [N, S, S, K]. */
export function fullResolution(logits: Value, config: SamConfig): Value {
  return ops.resizeBilinear(logits, [config.canvas, config.canvas]);
}
