/** A V-Net with 4 filters against PyTorch: logits, loss, gradients, running statistics, evaluation mode. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph, type Value } from "../../src/graph/graph.js";
import { WeightSet } from "../../src/graph/weights.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { supervisedLoss } from "../../src/losses/supervised.js";
import { segment } from "../../src/models/segmenter.js";
import { vnet } from "../../src/models/vnet.js";
import { gradientsByName } from "./file-order.js";
import { Golden } from "./golden.js";
import { fillWeights } from "./inputs.js";
import { batchShape, logitsOf, volumeBatch } from "./volumes.js";

const config = { filters: 4, classes: 3, dropout: 0 };

async function compare(name: string, calm: boolean): Promise<void> {
  const golden = await Golden.read(name);
  const weights = new WeightSet("student", 0);
  const graph = new Graph();
  const images = graph.input("images", "f32", batchShape);
  const logits = segment(vnet, { graph, weights, training: true, updateStatistics: true }, images, config);
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
  const batch = volumeBatch();
  const out = await program.run({ images: batch.images, labels: batch.labels });

  // 28 layers of rounding, a few units of 6e-8 each; without the shift, channels of small variance amplify it.
  golden.check("logits", logitsOf(out.logits), calm ? 5e-6 : 2e-5);
  const expected = golden.losses()[0]?.values[0] ?? Number.NaN;
  // A mean over 98304 voxels of the logits' rounding; the result itself is rounded to 6e-8.
  assert.ok(Math.abs((out.loss?.item ?? Number.NaN) - expected) <= 1e-6 * expected, `loss ${out.loss?.item}`);
  const turned = gradientsByName(weights, parameters, (name) => out[`grad ${name}`]?.f32);
  // Calm: rounding alone (f32 and f64 differ by up to 8e-6 in PyTorch). Else rounding flips the ReLU of some activations near zero,
  // and a gradient then moves by a per cent; which one is chance, so the tensor that differs most counts.
  const bound = calm ? 4e-5 : 3 * golden.disagreement("grad").largest;
  golden.checkAll("grad", (tensor) => turned.get(tensor), bound);
  const state = weights.toState();
  // Means and variances over at least 48 voxels (the bottleneck) of activations rounded to f32.
  golden.checkAll("statistics", (tensor) => toFloat32(state.get(tensor) ?? assert.fail(tensor)), 5e-6);

  const evaluation = new Graph();
  const x = evaluation.input("images", "f32", batchShape);
  const context = { graph: evaluation, weights, training: false, updateStatistics: false };
  using evaluate = evaluation.compile({ logits: segment(vnet, context, x, config) });
  const evaluated = await evaluate.run({ images: batch.images });
  golden.check("eval_logits", logitsOf(evaluated.logits), 5e-6);
  weights.dispose();
}

test("calm V-Net: forward, backward, statistics and evaluation", () => compare("vnet-calm", true));

test("V-Net: forward, backward, statistics and evaluation", () => compare("vnet", false));
