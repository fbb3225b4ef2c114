/** Blocks of SAM's vit_b on 64 x 64 tokens against PyTorch: windows of 14 x 14 tokens, and global attention. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph, type Value } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { WeightSet } from "../../src/graph/weights.js";
import { samConfig } from "../../src/models/sam/config.js";
import { encoderBlock } from "../../src/models/sam/image-encoder.js";
import { Tensor } from "../../src/native/tensor.js";
import { gradientsByName } from "./file-order.js";
import { Golden } from "./golden.js";
import { fillWeights, normal } from "./inputs.js";

const config = samConfig("vit_b", 1024, 2);
const shape = [1, 64, 64, config.width];

async function compare(name: string, block: number): Promise<void> {
  const golden = await Golden.read(name);
  const graph = new Graph();
  const weights = new WeightSet("sam", 0);
  const context = { graph, weights, training: true, updateStatistics: false };
  const tokens = graph.input("tokens", "f32", shape);
  const output = encoderBlock(context, tokens, block, config);
  const weighted = ops.sum(ops.multiply(output, graph.input("gradOutput", "f32", shape)));
  const parameters = weights.withRole("parameter");
  const [gradInput = weighted, ...gradients] = graph.gradients(weighted, [
    tokens,
    ...parameters.map((parameter) => graph.persistent(parameter.tensor, parameter.name)),
  ]);
  const outputs: Record<string, Value> = { output, gradInput };
  for (const [i, parameter] of parameters.entries())
    outputs[`grad ${parameter.name}`] = gradients[i] ?? weighted;
  using program = graph.compile(outputs);
  fillWeights(weights);
  using given = Tensor.from("f32", shape, normal("tokens", shape));
  using gradOutput = Tensor.from("f32", shape, normal("grad_output", shape));
  const out = await program.run({ tokens: given, gradOutput });

  // f32 rounding in sums of 768 and 3072 products and of up to 4096 keys; PyTorch's own spread is 3e-7 to 5e-7.
  golden.check("output", out.output?.f32 ?? assert.fail("output"), 3e-6);
  golden.check("grad_input", out.gradInput?.f32 ?? assert.fail("gradInput"), 3e-6);
  // Sums over 4096 tokens; PyTorch's own spread is up to 1.5e-6.
  const found = gradientsByName(weights, parameters, (name) => out[`grad ${name}`]?.f32);
  golden.checkAll("grad", (tensor) => found.get(tensor), 1e-5);
  weights.dispose();
}

test("vit_b block with windows", () => compare("vit-b-block-window", 0));

test("vit_b block with global attention", () => compare("vit-b-block-global", 2));
