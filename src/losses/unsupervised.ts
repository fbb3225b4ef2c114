import type { Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";

/** Entropy of probabilities, H = -sum over k of p ln(p + 1e-6), natural logarithm: [.., K] -> [..], up to ln K. */
export function entropy(probabilities: Value): Value {
  return ops.affine(ops.dotRows(probabilities, ops.log(ops.affine(probabilities, 1, 1e-6))), -1);
}

/** Mean of all elements -> []. */
export function mean(x: Value): Value {
  return ops.affine(ops.sum(x), 1 / x.shape.reduce((product, extent) => product * extent, 1));
}

/** Mean of values of one shape. */
export function average(values: readonly Value[]): Value {
  return ops.affine(
    values.reduce((a, b) => ops.add(a, b)),
    1 / values.length,
  );
}

/**
 * Mean of (p - q)^2 over classes and the voxels that a mask of zeros and ones selects; 0 when it selects none. No
 * gradient flows through the mask.
 *
 * @param p [.., K]
 * @param q [.., K]
 * @param mask f32 [..]
 */
export function maskedSquaredError(p: Value, q: Value, mask: Value): Value {
  const difference = ops.subtract(p, q);
  const selected = ops.sum(ops.multiply(ops.dotRows(difference, difference), mask));
  return ops.divide(selected, ops.affine(ops.sum(mask), p.dim(-1), 1e-16));
}
