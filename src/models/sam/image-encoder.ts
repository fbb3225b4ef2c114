import type { Value } from "../../graph/graph.js";
import {
  conv2dLayer,
  layerNormLayer,
  linearWeights,
  type NetworkContext,
  patchConv2dLayer,
  pointConvLayer,
  tableLayer,
} from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { type Adapters, adaptAttention, adaptMlp } from "./adapter.js";
import { type SamConfig, samPatch } from "./config.js";
import { type Lora, updatedLinearLayer, updatedQkvLayer } from "./lora.js";

const epsilon = 1e-6;

/** What is trained in a frozen encoder. */
export type Addition = Lora | Adapters;

/**
 * SAM's ViT encoder (Kirillov et al. 2023; Li et al. 2022), state-dict names `image_encoder.*`.
 *
 * @param x [N, S, S, 3]
 * @returns image embedding [N, S/16, S/16, decoderWidth]
 */
export function imageEncoder(ctx: NetworkContext, x: Value, config: SamConfig, added?: Addition): Value {
  const grid = config.canvas / samPatch;
  let y = patchConv2dLayer(ctx, x, "image_encoder.patch_embed.proj", config.width, samPatch);
  const position = tableLayer(ctx, "image_encoder.pos_embed", [1, grid, grid, config.width], "zeros");
  y = ops.add(y, ops.reshape(position, [grid, grid, config.width]));
  for (let block = 0; block < config.depth; block++)
    y = ctx.graph.within(`block${block}`, () => encoderBlock(ctx, y, block, config, added));
  y = pointConvLayer(ctx, y, "image_encoder.neck.0", config.decoderWidth, { axes: 2, bias: false });
  y = layerNormLayer(ctx, y, "image_encoder.neck.1", epsilon);
  y = conv2dLayer(ctx, y, "image_encoder.neck.2", config.decoderWidth, 3);
  return layerNormLayer(ctx, y, "image_encoder.neck.3", epsilon);
}

/** Pre-norm transformer block `block` (0-based) on tokens [N, H, W, C]; global or in windows as `config` says. */
export function encoderBlock(
  ctx: NetworkContext,
  x: Value,
  block: number,
  config: SamConfig,
  added?: Addition,
): Value {
  const name = `image_encoder.blocks.${block}`;
  const lora = added?.kind === "lora" ? added : undefined;
  const adapters = added?.kind === "adapter" ? added : undefined;
  const attended = encoderAttention(
    ctx,
    layerNormLayer(ctx, x, `${name}.norm1`, epsilon),
    block,
    config,
    lora,
  );
  const y = ops.add(x, adaptAttention(ctx, attended, block, adapters));
  const mlp = (input: Value, layer: "lin1" | "lin2", out: number) =>
    updatedLinearLayer(ctx, input, { name: `${name}.mlp.${layer}`, block, layer }, out, lora);
  const normed = layerNormLayer(ctx, y, `${name}.norm2`, epsilon);
  const hidden = mlp(normed, "lin1", 4 * config.width);
  const perceived = mlp(ops.gelu(hidden), "lin2", config.width);
  return ops.add(y, adaptMlp(ctx, normed, perceived, block, adapters));
}

/**
 * Attention with decomposed relative position, in windows or global. segment-anything zero-pads the grid to whole
 * windows after the LayerNorm, so padded tokens take part with k and v equal to their biases.
 */
function encoderAttention(
  ctx: NetworkContext,
  x: Value,
  block: number,
  config: SamConfig,
  lora?: Lora,
): Value {
  const name = `image_encoder.blocks.${block}.attn`;
  const { width, heads } = config;
  const window = config.globalBlocks.includes(block) ? 0 : config.window;
  const projected = updatedQkvLayer(ctx, x, { name: `${name}.qkv`, block }, lora);
  // What padded tokens are projected to.
  const { bias } = linearWeights(ctx, `${name}.qkv`, width, 3 * width, ctx.frozenLinear);
  const table = (axis: "h" | "w", extent: number) =>
    tableLayer(ctx, `${name}.rel_pos_${axis}`, [2 * (window || extent) - 1, width / heads], "zeros");
  const tables = { height: table("h", x.dim(1)), width: table("w", x.dim(2)) };
  const attended = ops.gridAttention(projected, bias, tables, { heads, window });
  return updatedLinearLayer(ctx, attended, { name: `${name}.proj`, block, layer: "proj" }, width, lora);
}
