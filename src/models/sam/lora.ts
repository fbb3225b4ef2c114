import type { Value } from "../../graph/graph.js";
import { linearWeights, type NetworkContext, weight } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import type { WeightSet } from "../../graph/weights.js";

/** What gets updates in every encoder block: thirds of qkv, the projection after attention, both layers of the MLP. */
export type LoraTarget = "q" | "k" | "v" | "proj" | "mlp";

/** Low-rank updates in every encoder block (Hu et al. 2022); the SFR authors update q and v. */
export interface Lora {
  readonly kind: "lora";
  /** Rank r of the updates B A. */
  rank: number;
  targets: readonly LoraTarget[];
  /**
   * Holds w_a_<key>, w_b_<key>. The authors' keys for q and v of block i: 2i and 2i + 1 in three digits. Ours for the
   * others: k_<i>, proj_<i>, lin1_<i>, lin2_<i>.
   */
  weights: WeightSet;
}

/** A linear layer of block `block`: state-dict name and its place among the targets. */
interface BlockLayer {
  name: string;
  block: number;
  layer: "proj" | "lin1" | "lin2";
}

/** torch.nn.Linear `name` with the update of its target, if that is one: x [..,in] -> [..,out]. */
export function updatedLinearLayer(
  ctx: NetworkContext,
  x: Value,
  { name, block, layer }: BlockLayer,
  out: number,
  lora: Lora | undefined,
): Value {
  const target = layer === "proj" ? "proj" : "mlp";
  const updates = lora?.targets.includes(target)
    ? [loraUpdate(ctx, lora, `${layer}_${digits(block)}`, { inputs: x.dim(-1), begin: 0, width: out })]
    : [];
  return linearWithUpdates(ctx, x, name, out, updates);
}

/** The qkv projection `name` of block `block` with the updates of q, k and v: x [..,C] -> [..,3C]. */
export function updatedQkvLayer(
  ctx: NetworkContext,
  x: Value,
  { name, block }: Omit<BlockLayer, "layer">,
  lora: Lora | undefined,
): Value {
  const width = x.dim(-1);
  const keys = { q: digits(2 * block), k: `k_${digits(block)}`, v: digits(2 * block + 1) } as const;
  const updates = (["q", "k", "v"] as const).flatMap((target, third) =>
    lora?.targets.includes(target)
      ? [loraUpdate(ctx, lora, keys[target], { inputs: width, begin: third * width, width })]
      : [],
  );
  return linearWithUpdates(ctx, x, name, 3 * width, updates);
}

const digits = (index: number): string => String(index).padStart(3, "0");

function linearWithUpdates(
  ctx: NetworkContext,
  x: Value,
  name: string,
  out: number,
  updates: readonly ops.LowRankUpdate[],
): Value {
  const { weight: w, bias } = linearWeights(ctx, name, x.dim(-1), out, ctx.frozenLinear);
  return updates.length === 0 ? ops.linear(x, w, bias) : ops.linearLora(x, w, bias, updates);
}

/**
 * The update B A of output channels [begin, begin + width): no bias, no scaling. A starts kaiming-uniform (a = sqrt 5,
 * so U(+-1/sqrt(in))), B starts at zero.
 */
function loraUpdate(
  ctx: NetworkContext,
  lora: Lora,
  key: string,
  sizes: { inputs: number; begin: number; width: number },
): ops.LowRankUpdate {
  const { inputs, begin, width } = sizes;
  const inner: NetworkContext = { ...ctx, weights: lora.weights };
  const a = weight(inner, `w_a_${key}`, {
    shape: [inputs, lora.rank],
    torchShape: [lora.rank, inputs],
    order: [1, 0],
    initial: { kind: "uniform", bound: 1 / Math.sqrt(inputs) },
    role: "parameter",
  });
  const b = weight(inner, `w_b_${key}`, {
    shape: [lora.rank, width],
    torchShape: [width, lora.rank],
    order: [1, 0],
    initial: { kind: "constant", value: 0 },
    role: "parameter",
  });
  return { a, b, begin };
}
