/** LoRA on any subset of its targets: an encoder block with updates equals the block with B A added to its weights. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph, type Value } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { WeightSet } from "../../src/graph/weights.js";
import { tensorsInMemory } from "../../src/io/tensor-file.js";
import { loadSamCheckpoint } from "../../src/models/sam/checkpoint.js";
import { samConfig } from "../../src/models/sam/config.js";
import { encoderBlock } from "../../src/models/sam/image-encoder.js";
import type { Lora, LoraTarget } from "../../src/models/sam/lora.js";
import { Tensor } from "../../src/native/tensor.js";
import { close } from "../oracle/axes.js";
import { fillWeights, normal } from "../oracle/inputs.js";

const targets = ["q", "k", "v", "proj", "mlp"] as const satisfies readonly LoraTarget[];
const config = { ...samConfig("tiny", 64, 2), width: 24, window: 3 };
const shape = [1, 5, 4, config.width];
/** Two ways to sum 24 to 96 f32 products differ by some 1e-6 of the result. */
const bound = 1e-5;

/** Where an update of block `block` goes: state-dict name and first output channel of the layer, by its key. */
function places(block: number, chosen: readonly LoraTarget[]): Map<string, { layer: string; begin: number }> {
  const three = (n: number) => String(n).padStart(3, "0");
  const all: [LoraTarget, string, string, number][] = [
    ["q", three(2 * block), "attn.qkv", 0],
    ["k", `k_${three(block)}`, "attn.qkv", config.width],
    ["v", three(2 * block + 1), "attn.qkv", 2 * config.width],
    ["proj", `proj_${three(block)}`, "attn.proj", 0],
    ["mlp", `lin1_${three(block)}`, "mlp.lin1", 0],
    ["mlp", `lin2_${three(block)}`, "mlp.lin2", 0],
  ];
  return new Map(
    all
      .filter(([target]) => chosen.includes(target))
      .map(([, key, layer, begin]) => [
        key,
        { layer: `image_encoder.blocks.${block}.${layer}.weight`, begin },
      ]),
  );
}

/** Output of a block, and its gradients of the input and of every parameter of `trained`, by name. */
async function runBlock(block: number, weights: WeightSet, trained: WeightSet, lora?: Lora) {
  const graph = new Graph();
  const tokens = graph.input("tokens", "f32", shape);
  const context = { graph, weights, training: true, updateStatistics: false };
  const output = encoderBlock(context, tokens, block, config, lora);
  const loss = ops.sum(ops.multiply(output, graph.input("gradOutput", "f32", shape)));
  const parameters = trained.withRole("parameter");
  const wanted = parameters.map(({ name, tensor }) => graph.persistent(tensor, name));
  const [input = loss, ...gradients] = graph.gradients(loss, [tokens, ...wanted]);
  const outputs: Record<string, Value> = { output, input };
  for (const [i, { name }] of parameters.entries()) outputs[name] = gradients[i] ?? loss;
  using program = graph.compile(outputs);
  using given = Tensor.from("f32", shape, normal("tokens", shape));
  using gradOutput = Tensor.from("f32", shape, normal("grad_output", shape));
  const found = await program.run({ tokens: given, gradOutput });
  return new Map(Object.entries(found).map(([name, tensor]) => [name, tensor.f32.slice()]));
}

/** Row-major product [rows, inner] x [inner, columns]; an operand is read through its index function. */
function product(
  [rows, inner, columns]: readonly [number, number, number],
  a: (row: number, k: number) => number,
  b: (k: number, column: number) => number,
): Float64Array {
  const c = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let k = 0; k < inner; k++)
      for (let column = 0; column < columns; column++)
        c[row * columns + column] = (c[row * columns + column] ?? 0) + a(row, k) * b(k, column);
  return c;
}

async function compare(block: number, chosen: readonly LoraTarget[], rank: number): Promise<void> {
  const [weights, updates] = [new WeightSet("sam", 0), new WeightSet("lora", 0)];
  const lora: Lora = { kind: "lora", rank, targets: chosen, weights: updates };
  // Weights exist once the block was described.
  await runBlock(block, weights, updates, lora);
  fillWeights(weights);
  fillWeights(updates);
  const where = places(block, chosen);
  assert.deepEqual(
    updates.withRole("parameter").map(({ name }) => name),
    [...where.keys()].flatMap((key) => [`w_a_${key}`, `w_b_${key}`]),
  );
  const updated = await runBlock(block, weights, updates, lora);

  for (const [key, { layer, begin }] of where) {
    const [a, b, w] = [updates.get(`w_a_${key}`), updates.get(`w_b_${key}`), weights.get(layer)];
    const [inputs = 0, width = 0, out = 0] = [a.shape[0], b.shape[1], w.shape[1]];
    const [aData, bData, wData] = [a.f32, b.f32, w.f32];
    const change = product(
      [inputs, rank, width],
      (i, r) => aData[i * rank + r] ?? Number.NaN,
      (r, j) => bData[r * width + j] ?? Number.NaN,
    );
    for (const [at, value] of change.entries()) {
      const index = Math.floor(at / width) * out + begin + (at % width);
      wData[index] = (wData[index] ?? Number.NaN) + value;
    }
  }
  const merged = await runBlock(block, weights, weights);
  const values = (from: typeof merged, name: string) => from.get(name) ?? assert.fail(name);
  for (const name of ["output", "input"]) close(name, values(updated, name), values(merged, name), bound);
  for (const [key, { layer, begin }] of where) {
    const [a, b, out] = [
      updates.get(`w_a_${key}`),
      updates.get(`w_b_${key}`),
      weights.get(layer).shape[1] ?? 0,
    ];
    const [inputs = 0, width = 0] = [a.shape[0], b.shape[1]];
    const [aData, bData, gradient] = [a.f32, b.f32, values(merged, layer)];
    const slope = (i: number, j: number) => gradient[i * out + begin + j] ?? Number.NaN;
    const ofA = product([inputs, width, rank], slope, (j, r) => bData[r * width + j] ?? Number.NaN);
    const ofB = product([rank, inputs, width], (r, i) => aData[i * rank + r] ?? Number.NaN, slope);
    close(`gradient of w_a_${key}`, values(updated, `w_a_${key}`), ofA, bound);
    close(`gradient of w_b_${key}`, values(updated, `w_b_${key}`), ofB, bound);
  }
  for (const set of [weights, updates]) set.dispose();
}

test("LoRA on every subset of q, k, v, proj and mlp, in windows and global", async () => {
  const ranks = [1, 2, 3, 7, 13];
  for (let subset = 1; subset < 1 << targets.length; subset++) {
    const chosen = targets.filter((_, bit) => (subset >> bit) & 1);
    for (const block of [0, 1]) await compare(block, chosen, ranks[subset % ranks.length] ?? 4);
  }
});

test("a file of updates is refused as checkpoint", async () => {
  const file = new Map([["w_a_k_000", { dtype: "f32", shape: [1], data: new Float32Array(1) } as const]]);
  await assert.rejects(
    loadSamCheckpoint(new WeightSet("sam", 0), tensorsInMemory(file), config),
    /expected a whole SAM as checkpoint, received LoRA updates \(w_a_k_000, \.\.\.\); /,
  );
});
