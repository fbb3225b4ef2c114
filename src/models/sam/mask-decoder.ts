import type { Value } from "../../graph/graph.js";
import {
  layerNormLayer,
  linearLayer,
  type NetworkContext,
  tableLayer,
  upConv2dLayer,
} from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { fanInUniform, plainSpec, vectorSpec } from "../../graph/weights.js";
import type { SamConfig } from "./config.js";
import type { EmptyPrompt } from "./prompt-encoder.js";

const transformerEpsilon = 1e-5;
const heads = 8;

/**
 * SAM's mask decoder with K mask tokens, all of whose masks are returned as class logits (channel 0 = background).
 * State-dict names `mask_decoder.*`. The IoU head keeps its tensors and is not computed.
 *
 * @param image embedding [N, G, G, decoderWidth]
 * @returns logits [N, 4G, 4G, K]
 */
export function maskDecoder(
  ctx: NetworkContext,
  image: Value,
  prompt: EmptyPrompt,
  config: SamConfig,
): Value {
  const [n, grid, width] = [image.dim(0), image.dim(1), config.decoderWidth];
  const tokenCount = 1 + config.classes;
  const tables = [
    tableLayer(ctx, "mask_decoder.iou_token.weight", [1, width], "normal"),
    tableLayer(ctx, "mask_decoder.mask_tokens.weight", [config.classes, width], "normal"),
  ];
  const tokens = ops.broadcastTo(ops.concat(tables, 0), [n, tokenCount, width]);
  const source = ops.reshape(ops.add(image, prompt.dense), [n, grid * grid, width]);
  const { queries, keys } = twoWayTransformer(ctx, source, prompt.positions, tokens, config);

  let upscaled = upConv2dLayer(
    ctx,
    ops.reshape(keys, [n, grid, grid, width]),
    "mask_decoder.output_upscaling.0",
    width / 4,
  );
  upscaled = ops.gelu(layerNormLayer(ctx, upscaled, "mask_decoder.output_upscaling.1", 1e-6));
  upscaled = ops.gelu(upConv2dLayer(ctx, upscaled, "mask_decoder.output_upscaling.3", width / 8));

  const kernels: Value[] = [];
  for (let k = 0; k < config.classes; k++)
    kernels.push(hypernetwork(ctx, ops.slice(queries, 1, 1 + k, 2 + k), k, width));
  keepIouHead(ctx, config);
  const side = 4 * grid;
  const pixels = ops.reshape(upscaled, [n, side * side, width / 8]);
  const masks = ops.matmul(pixels, ops.concat(kernels, 1), { b: true });
  return ops.reshape(masks, [n, side, side, config.classes]);
}

/** Three-layer MLP of class k: token [N, 1, width] -> mask kernel [N, 1, width/8]. */
function hypernetwork(ctx: NetworkContext, token: Value, k: number, width: number): Value {
  const name = `mask_decoder.output_hypernetworks_mlps.${k}.layers`;
  const hidden = ops.relu(linearLayer(ctx, token, `${name}.0`, width));
  return linearLayer(ctx, ops.relu(linearLayer(ctx, hidden, `${name}.1`, width)), `${name}.2`, width / 8);
}

/** Depth 2; tokens and image attend to each other. Returns tokens [N, 1+K, C] and image [N, G*G, C]. */
function twoWayTransformer(
  ctx: NetworkContext,
  source: Value,
  positions: Value,
  tokens: Value,
  config: SamConfig,
): { queries: Value; keys: Value } {
  const name = "mask_decoder.transformer";
  const norm = (x: Value, key: string) => layerNormLayer(ctx, x, `${name}.${key}`, transformerEpsilon);
  let queries = tokens;
  let keys = source;
  for (let layer = 0; layer < 2; layer++) {
    const at = `layers.${layer}`;
    const attend = (key: string, q: Value, k: Value, v: Value, downsample: number) =>
      decoderAttention(ctx, `${name}.${at}.${key}`, q, k, v, config.decoderWidth / downsample);
    // The first layer's self-attention sees the tokens without position and replaces them.
    const q = layer === 0 ? queries : ops.add(queries, tokens);
    const self = attend("self_attn", q, q, queries, 1);
    queries = norm(layer === 0 ? self : ops.add(queries, self), `${at}.norm1`);

    const toImage = attend(
      "cross_attn_token_to_image",
      ops.add(queries, tokens),
      ops.add(keys, positions),
      keys,
      2,
    );
    queries = norm(ops.add(queries, toImage), `${at}.norm2`);

    const hidden = ops.relu(linearLayer(ctx, queries, `${name}.${at}.mlp.lin1`, config.decoderMlp));
    queries = norm(
      ops.add(queries, linearLayer(ctx, hidden, `${name}.${at}.mlp.lin2`, config.decoderWidth)),
      `${at}.norm3`,
    );

    const toToken = attend(
      "cross_attn_image_to_token",
      ops.add(keys, positions),
      ops.add(queries, tokens),
      queries,
      2,
    );
    keys = norm(ops.add(keys, toToken), `${at}.norm4`);
  }
  const final = decoderAttention(
    ctx,
    `${name}.final_attn_token_to_image`,
    ops.add(queries, tokens),
    ops.add(keys, positions),
    keys,
    config.decoderWidth / 2,
  );
  return { queries: norm(ops.add(queries, final), "norm_final_attn"), keys };
}

/** Multi-head attention with projections to `inner` channels and back. */
function decoderAttention(
  ctx: NetworkContext,
  name: string,
  q: Value,
  k: Value,
  v: Value,
  inner: number,
): Value {
  const out = ops.attention(
    linearLayer(ctx, q, `${name}.q_proj`, inner),
    linearLayer(ctx, k, `${name}.k_proj`, inner),
    linearLayer(ctx, v, `${name}.v_proj`, inner),
    heads,
  );
  return linearLayer(ctx, out, `${name}.out_proj`, q.dim(-1));
}

/** The IoU head's tensors, for the file format. */
function keepIouHead(ctx: NetworkContext, config: SamConfig): void {
  const sizes = [config.decoderWidth, config.iouHidden, config.iouHidden, config.classes];
  for (let i = 0; i < 3; i++) {
    const [inputs = 0, outputs = 0] = [sizes[i], sizes[i + 1]];
    const name = `mask_decoder.iou_prediction_head.layers.${i}`;
    ctx.weights.tensor(`${name}.weight`, plainSpec([outputs, inputs], fanInUniform(inputs), "unused"));
    ctx.weights.tensor(`${name}.bias`, vectorSpec(outputs, fanInUniform(inputs), "unused"));
  }
}
