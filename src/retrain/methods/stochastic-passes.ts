import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";
import type { WeightSet } from "../../graph/weights.js";
import type { StepContext } from "./method.js";
import { withNoise } from "./teacher.js";

/** Passes of a network, and how often each repeats the crops. */
const passes = 4;
const repeats = 2;

/**
 * Mean softmax [N, D, H, W, K] of T = 8 stochastic predictions of each crop: 4 passes of the crops repeated twice
 * ([u0, u1, u0, u1]), each row with noise of its own and each pass with dropout of its own. Batch-norm takes the
 * statistics of the repeated batch, as in UA-MT's code, not of the crops alone. No gradient flows.
 */
export function stochasticMean(step: StepContext, weights: WeightSet, crops: Value): Value {
  const repeated = ops.concat(new Array<Value>(repeats).fill(crops), 0);
  const predictions = Array.from({ length: passes }, (_, i) => {
    const pass = `pass-${i + 1}`;
    return ops.softmax(step.forward(weights, withNoise(step, repeated, `${pass}/noise`), { pass }));
  });
  const total = predictions.reduce((a, b) => ops.add(a, b));
  const samples = crops.dim(0);
  const rows = Array.from({ length: repeats }, (_, r) => ops.slice(total, 0, r * samples, (r + 1) * samples));
  return ops.stopGradient(
    ops.affine(
      rows.reduce((a, b) => ops.add(a, b)),
      1 / (passes * repeats),
    ),
  );
}
