/** SAM's mask decoder without prompts and the position encoding of its image tokens against PyTorch. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph, type Value } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { WeightSet } from "../../src/graph/weights.js";
import { samConfig, samPatch } from "../../src/models/sam/config.js";
import { maskDecoder } from "../../src/models/sam/mask-decoder.js";
import { emptyPrompt } from "../../src/models/sam/prompt-encoder.js";
import { Tensor } from "../../src/native/tensor.js";
import { canvasOrder, permute } from "./axes.js";
import { gradientsByName } from "./file-order.js";
import { Golden } from "./golden.js";
import { fillWeights, normal } from "./inputs.js";

const config = samConfig("tiny", 256, 3);
const grid = config.canvas / samPatch;
const imageShape = [2, config.decoderWidth, grid, grid];
const maskShape = [2, config.classes, 4 * grid, 4 * grid];
/** [N, rows, columns, C] -> [N, C, rows, columns]. */
const torchOrder = [0, 3, 1, 2];

test("position encoding, masks and gradients", async () => {
  const golden = await Golden.read("mask-decoder");
  const graph = new Graph();
  const weights = new WeightSet("sam", 0);
  const context = { graph, weights, training: true, updateStatistics: false };
  const embedding = graph.input("embedding", "f32", [2, grid, grid, config.decoderWidth]);
  const prompt = emptyPrompt(context, config);
  const masks = maskDecoder(context, embedding, prompt, config);
  const weighted = ops.sum(ops.multiply(masks, graph.input("gradMasks", "f32", masks.shape)));
  const parameters = weights.withRole("parameter");
  const [gradInput = weighted, ...gradients] = graph.gradients(weighted, [
    embedding,
    ...parameters.map(({ name, tensor }) => graph.persistent(tensor, name)),
  ]);
  const outputs: Record<string, Value> = { position: prompt.positions, masks, gradInput };
  for (const [i, { name }] of parameters.entries()) outputs[`grad ${name}`] = gradients[i] ?? weighted;
  using program = graph.compile(outputs);
  fillWeights(weights);
  const channelsLast = (name: string, shape: readonly number[], target: Value) =>
    Tensor.from("f32", target.shape, permute(normal(name, shape), shape, canvasOrder));
  const out = await program.run({
    embedding: channelsLast("embedding", imageShape, embedding),
    gradMasks: channelsLast("grad_masks", maskShape, masks),
  });
  const turned = (name: string, shape: readonly number[]) =>
    permute(out[name]?.f32 ?? assert.fail(name), shape, torchOrder);

  // Angles up to about 2 pi * 4 are rounded to f32 before the sine: 25 * 6e-8 at most.
  golden.check("image_position", turned("position", [1, grid, grid, config.decoderWidth]), 1.5e-6);
  // f32 rounding through two transformer layers and two convolutions; PyTorch's own spread is up to 1e-6.
  golden.check("masks", turned("masks", masks.shape), 5e-6);
  golden.check("grad_input", turned("gradInput", embedding.shape), 5e-6);
  // And back again; PyTorch's own spread is up to 3e-6.
  const found = gradientsByName(weights, parameters, (name) => out[`grad ${name}`]?.f32);
  golden.checkAll("grad", (name) => found.get(name), 2e-5);
  weights.dispose();
});
