import type { Value } from "../../graph/graph.js";
import { linearLayer, type NetworkContext } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import type { WeightSet } from "../../graph/weights.js";

/**
 * Bottleneck adapters in every encoder block (Wu et al. 2023, Medical SAM Adapter; Houlsby et al. 2019):
 * up(gelu(down x)), one behind the attention and one beside the MLP. `up` starts at zero, so that the network starts as
 * the SAM it was.
 */
export interface Adapters {
  readonly kind: "adapter";
  /** Width of the bottleneck in parts of the encoder's. */
  readonly ratio: number;
  /** Holds image_encoder.blocks.<i>.{Space,MLP}_Adapter.D_fc{1,2}.*, the names of Medical SAM Adapter. */
  readonly weights: WeightSet;
}

/** Share with which the adapter beside the MLP counts, as in Medical SAM Adapter. */
const besideMlp = 0.5;

/** Tokens [.., C] behind the attention of block `block`: x + up(gelu(down x)); x itself without adapters. */
export function adaptAttention(ctx: NetworkContext, x: Value, block: number, adapters?: Adapters): Value {
  if (adapters === undefined) return x;
  return ops.add(x, bottleneck(ctx, x, `${block}.Space_Adapter`, adapters));
}

/** MLP output `y` of block `block` plus half of what the adapter makes of the MLP's input `x`; y without adapters. */
export function adaptMlp(ctx: NetworkContext, x: Value, y: Value, block: number, adapters?: Adapters): Value {
  if (adapters === undefined) return y;
  return ops.add(y, ops.affine(bottleneck(ctx, x, `${block}.MLP_Adapter`, adapters), besideMlp));
}

function bottleneck(ctx: NetworkContext, x: Value, place: string, { ratio, weights }: Adapters): Value {
  const name = `image_encoder.blocks.${place}`;
  const [inner, width] = [{ ...ctx, weights }, x.dim(-1)];
  const hidden = Math.max(1, Math.round(ratio * width));
  const narrow = ops.gelu(linearLayer(inner, x, `${name}.D_fc1`, hidden));
  return linearLayer(inner, narrow, `${name}.D_fc2`, width, { kind: "constant", value: 0 });
}
