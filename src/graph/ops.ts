/**
 * One typed builder per op. The contract of each (formula, gradient, errors) stands in cpp/ops/<op>/<op>.h;
 * here are the shapes. Axis letters: N batch, D H W = z y x, C channels (last, fastest), B T C tokens, K classes.
 */
export * from "./ops/layers.js";
export * from "./ops/tensors.js";
export * from "./ops/training.js";
export * from "./ops/volumes.js";
