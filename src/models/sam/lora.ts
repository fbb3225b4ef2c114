import { type NetworkContext, weight } from "../../graph/layers.js";
import type * as ops from "../../graph/ops.js";
import type { WeightSet } from "../../graph/weights.js";

/** Low-rank updates of the q and v projections of every encoder block (Hu et al. 2022, as the SFR authors use it). */
export interface Lora {
  /** Rank r of the update B A. */
  rank: number;
  /** Holds w_a_000, w_b_000, ...: two pairs per block, q then v, the names of the authors' file. */
  weights: WeightSet;
}

/**
 * The update B A of output channels [begin, begin + width): no bias, no scaling. A starts kaiming-uniform (a = sqrt 5,
 * so U(+-1/sqrt(in))), B starts at zero.
 *
 * @param index counts the pairs: 2*block for q, 2*block + 1 for v
 */
export function loraUpdate(
  ctx: NetworkContext,
  lora: Lora,
  index: number,
  sizes: { inputs: number; begin: number; width: number },
): ops.LowRankUpdate {
  const { inputs, begin, width } = sizes;
  const inner: NetworkContext = { ...ctx, weights: lora.weights };
  const key = String(index).padStart(3, "0");
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
