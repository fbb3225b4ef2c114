/** A 3D U-Net and MagicNet's V-Net with 4 filters against PyTorch: names, logits, loss, gradients, evaluation mode. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph, type Value } from "../../src/graph/graph.js";
import { WeightSet } from "../../src/graph/weights.js";
import { supervisedLoss } from "../../src/losses/supervised.js";
import { magicnet } from "../../src/models/magicnet.js";
import { type SegmenterNetwork, segment } from "../../src/models/segmenter.js";
import { unet3d } from "../../src/models/unet3d.js";
import { gradientsByName } from "./file-order.js";
import { Golden } from "./golden.js";
import { fillWeights } from "./inputs.js";
import { batchShape, logitsOf, volumeBatch } from "./volumes.js";

/**
 * How far rounding moves a gradient where it flips the ReLU of an activation near zero, which a norm without bias has
 * many of: in PyTorch's own f64 an image moved by 3e-7 of itself moves them by up to 3e-3, half of them by 5e-4.
 */
const flippedRelu = 5e-3;
const size = { filters: 4, classes: 3, dropout: 0 };

async function compare(
  name: string,
  network: SegmenterNetwork,
  beforeNorm: RegExp,
  calm: boolean,
): Promise<void> {
  const golden = await Golden.read(calm ? `${name}-calm` : name);
  const weights = new WeightSet("student", 0);
  const graph = new Graph();
  const images = graph.input("images", "f32", batchShape);
  const context = { graph, weights, training: true, updateStatistics: true };
  const logits = segment(network, context, images, size);
  const { loss } = supervisedLoss(logits, graph.input("labels", "u8", batchShape.slice(0, 4)));
  const parameters = weights.withRole("parameter");
  const gradients = graph.gradients(
    loss,
    parameters.map((parameter) => graph.persistent(parameter.tensor, parameter.name)),
  );
  const outputs: Record<string, Value> = { logits, loss };
  for (const [i, parameter] of parameters.entries()) outputs[`grad ${parameter.name}`] = gradients[i] ?? loss;
  using program = graph.compile(outputs);
  fillWeights(weights, { calm });
  const { images: image, labels } = volumeBatch({ slabs: calm });
  const out = await program.run({ images: image, labels });

  golden.checkNames(
    "grad",
    parameters.map(({ name }) => name),
    beforeNorm,
  );
  // 19 layers of rounding, a few units of 6e-8 each, which channels of small variance amplify.
  golden.check("logits", logitsOf(out.logits), 2e-5);
  const expected = golden.losses()[0]?.values[0] ?? Number.NaN;
  // A mean over 98304 voxels of the logits' rounding; the result itself is rounded to 6e-8.
  assert.ok(Math.abs((out.loss?.item ?? Number.NaN) - expected) <= 1e-6 * expected, `loss ${out.loss?.item}`);
  const turned = gradientsByName(weights, parameters, (name) => out[`grad ${name}`]?.f32);
  // Which activation flips is chance: in PyTorch f32 and f64 of one network differ by 4e-3, of the other by none. In calm
  // networks none does: what is left is rounding, 6e-6 in PyTorch, and which tensor has the most of it chance.
  const bound = Math.max(calm ? 0 : flippedRelu, 3 * golden.disagreement("grad").largest);
  golden.checkAll("grad", (tensor) => turned.get(tensor), bound);

  // Norms of samples are the same in evaluation.
  const evaluation = new Graph();
  const x = evaluation.input("images", "f32", batchShape);
  using evaluate = evaluation.compile({
    logits: segment(network, { ...context, graph: evaluation, training: false }, x, size),
  });
  golden.check("eval_logits", logitsOf((await evaluate.run({ images: image })).logits), 2e-5);
  weights.dispose();
}

for (const calm of [false, true]) {
  const kind = calm ? "calm " : "";
  test(`${kind}3D U-Net: forward, backward and evaluation`, () =>
    compare("unet3d", unet3d, /\.conv[12]\.0\.bias$/, calm));
  test(`${kind}V-Net of MagicNet: forward, backward and evaluation`, () =>
    compare("magicnet", magicnet, /\.conv\.[036]\.bias$/, calm));
}
