import type { Value } from "../../graph/graph.js";
import { batchNormLayer, linearLayer, type NetworkContext, weight } from "../../graph/layers.js";
import * as ops from "../../graph/ops.js";
import { vectorSpec } from "../../graph/weights.js";
import { memory, remember } from "./memory.js";
import type { StepContext } from "./method.js";

/** Width of the perceptrons, and features that a class's memory holds. */
const width = 32;
const memorySize = 32;

/** max(x, 0.2 x). */
export function leakyRelu(x: Value): Value {
  return ops.add(ops.affine(x, 0.2), ops.affine(ops.relu(x), 0.8));
}

/** Linear, batch-norm, ReLU, linear: rows [V, C] -> [V, 32]. */
function perceptron(ctx: NetworkContext, x: Value, name: string): Value {
  const hidden = batchNormLayer(ctx, linearLayer(ctx, x, `${name}.0`, width), `${name}.1`);
  return linearLayer(ctx, ops.relu(hidden), `${name}.3`, width);
}

/** Each row [V, C] divided by its length. */
function unitRows(x: Value): Value {
  const squares = ops.affine(ops.dotRows(x, x), 1, 1e-24);
  return ops.scaleRows(x, ops.exp(ops.affine(ops.log(squares), -0.5)));
}

/**
 * Scores [V] of class k's selector: linear, batch-norm, leaky ReLU, linear, as if it saw the rows in `mask` [V] alone,
 * whose statistics its batch-norm takes.
 */
function selectorScores(ctx: NetworkContext, rows: Value, k: number, mask: Value): Value {
  const name = `selector_${k}`;
  const hidden = linearLayer(ctx, rows, `${name}.0`, width);
  const count = ops.affine(ops.sum(mask), 1, 1e-16);
  const meanOf = (x: Value) => ops.divide(ops.sumTo(ops.scaleRows(x, mask), [width]), count);
  const centred = ops.subtract(hidden, meanOf(hidden));
  const variance = ops.affine(meanOf(ops.multiply(centred, centred)), 1, 1e-5);
  const vector = (key: string, value: number) =>
    weight(ctx, `${name}.1.${key}`, vectorSpec(width, { kind: "constant", value }));
  const scale = ops.multiply(ops.exp(ops.affine(ops.log(variance), -0.5)), vector("weight", 1));
  const normalised = ops.add(ops.multiply(centred, scale), vector("bias", 0));
  return ops.reshape(linearLayer(ctx, leakyRelu(normalised), `${name}.3`, 1), mask.shape);
}

/** Rows [V, C] of a map [N, D, H, W, C]. */
function rowsOf(map: Value): Value {
  const voxels = map.shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
  return ops.reshape(map, [voxels, map.dim(-1)]);
}

/** The voxels [V] of class k: ones, else zeros. */
function maskOf(labels: Value, classes: number, k: number): Value {
  const rows = rowsOf(ops.oneHot(labels, classes));
  return ops.reshape(ops.slice(rows, 1, k, k + 1), [rows.dim(0)]);
}

/** What the memory says of a class: the mean [32] of its features divided by their lengths, and their number [1]. */
interface ClassMemory {
  mean: Value;
  count: Value;
}

/**
 * A memory of features for each class but the background and the contrast with it (SS-Net; after Alonso et al. 2021).
 * Only the mean of the remembered unit vectors matters: the mean over them of cosines is the cosine with it.
 */
export class ClassContrast {
  private readonly ctx: NetworkContext;
  private readonly kept: { vector: Value; next: Value }[] = [];

  constructor(
    private readonly step: StepContext,
    private readonly classes: number,
  ) {
    this.ctx = step.layers(step.network("contrast"));
  }

  /**
   * The memory after the correctly labelled voxels of the labelled crops have replaced that of their class: of projected
   * features, batch-norm in evaluation mode, the 32 of lowest selector score. No gradient.
   */
  renewed(features: Value, prediction: Value, labels: Value): readonly ClassMemory[] {
    const evaluation = { ...this.ctx, training: false };
    const projected = ops.stopGradient(perceptron(evaluation, rowsOf(features), "projection"));
    return Array.from({ length: this.classes - 1 }, (_, i) => {
      const k = i + 1;
      const correct = ops.multiply(maskOf(prediction, this.classes, k), maskOf(labels, this.classes, k));
      const chosen = ops.lowest(selectorScores(this.ctx, projected, k, correct), correct, memorySize);
      const found = ops.sumTo(ops.reshape(chosen, [chosen.dim(0), 1]), [1]);
      const sums = ops.sumTo(ops.scaleRows(unitRows(projected), chosen), [width]);
      const mean = ops.divide(sums, ops.affine(ops.sum(chosen), 1, 1e-16));
      const has = ops.atLeast(ops.sum(chosen), ops.fill(this.step.graph, [], 1));
      return {
        mean: this.replaced(`class_${k}.mean`, mean, has),
        count: this.replaced(`class_${k}.count`, found, has),
      };
    });
  }

  /** The next value of a remembered vector: `value` where `has` is 1, else as it was. */
  private replaced(name: string, value: Value, has: Value): Value {
    const vector = memory(this.step, name, value.dim(0));
    const difference = ops.multiply(ops.subtract(value, vector), has);
    const next = ops.stopGradient(ops.add(vector, difference));
    this.kept.push({ vector, next });
    return next;
  }

  /**
   * Mean over classes of the weighted mean over a class's voxels i of 1 - cos(q_i, memory), q = prediction(projection(f)),
   * weights sigmoid(selector(q)); 0 for a class with fewer than 2 voxels or remembered features.
   */
  loss(features: Value, labels: Value, memories: readonly ClassMemory[]): Value {
    const q = perceptron(this.ctx, perceptron(this.ctx, rowsOf(features), "projection"), "prediction");
    const unit = unitRows(q);
    const two = ops.fill(this.step.graph, [], 2);
    const losses = memories.map(({ mean, count }, i) => {
      const mask = maskOf(labels, this.classes, i + 1);
      const scores = selectorScores(this.ctx, ops.stopGradient(q), i + 1, mask);
      const weights = ops.multiply(ops.sigmoid(scores), mask);
      const cosines = ops.reshape(ops.linear(unit, ops.reshape(mean, [width, 1])), mask.shape);
      const distance = ops.sum(ops.multiply(weights, ops.affine(cosines, -1, 1)));
      const enough = ops.multiply(ops.atLeast(ops.sum(mask), two), ops.sum(ops.atLeast(count, two)));
      return ops.multiply(ops.divide(distance, ops.affine(ops.sum(weights), 1, 1e-16)), enough);
    });
    return ops.affine(
      losses.reduce((a, b) => ops.add(a, b)),
      1 / this.classes,
    );
  }

  /** Keeps the memory for the next step. */
  remember(): void {
    remember(this.step, this.kept);
  }

  /** What is trained beside the segmenter. */
  get weights() {
    return this.ctx.weights;
  }
}
