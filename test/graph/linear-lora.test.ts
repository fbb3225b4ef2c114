/** linear_lora at every rank against the layers it stands for: output and all gradients. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph, type Value } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { Tensor } from "../../src/native/tensor.js";
import { close } from "../oracle/axes.js";
import { normal } from "../oracle/inputs.js";

/** Two ways to sum up to 64 f32 products, and 38 rows of them, differ by some 1e-7 of the result. */
const bound = 5e-6;
const [rows, inputs, out] = [19, 29, 53];

/** y with `update` added to its channels from `begin` on; all are [2, rows, ..]. */
function addAt(y: Value, update: Value, begin: number): Value {
  const end = begin + update.dim(2);
  const changed = ops.add(ops.slice(y, 2, begin, end), update);
  return ops.concat([ops.slice(y, 2, 0, begin), changed, ops.slice(y, 2, end, out)], 2);
}

async function compare(rank: number): Promise<void> {
  const graph = new Graph();
  const given: Record<string, Tensor> = {};
  const input = (name: string, ...shape: number[]) => {
    given[name] = Tensor.from("f32", shape, normal(name, shape));
    return graph.input(name, "f32", shape);
  };
  const [x, weight, bias] = [input("x", 2, rows, inputs), input("weight", inputs, out), input("bias", out)];
  const updates = [
    { a: input("a0", inputs, rank), b: input("b0", rank, 17), begin: 5 },
    { a: input("a1", inputs, 65 - rank), b: input("b1", 65 - rank, 19), begin: 30 },
  ];
  const wanted = [x, weight, bias, ...updates.flatMap(({ a, b }) => [a, b])];
  const fused = ops.linearLora(x, weight, bias, updates);
  let unfused = ops.linear(x, weight, bias);
  for (const { a, b, begin } of updates) unfused = addAt(unfused, ops.linear(ops.linear(x, a), b), begin);

  const slope = input("slope", ...fused.shape);
  const outputs: Record<string, Value> = { "fused output": fused, "unfused output": unfused };
  for (const [kind, y] of [
    ["fused", fused],
    ["unfused", unfused],
  ] as const)
    for (const [i, gradient] of graph.gradients(ops.sum(ops.multiply(y, slope)), wanted).entries())
      outputs[`${kind} gradient ${i}`] = gradient;
  using program = graph.compile(outputs);
  const found = await program.run(given);
  for (const name of ["output", ...wanted.map((_, i) => `gradient ${i}`)])
    close(
      `rank ${rank}: ${name}`,
      found[`fused ${name}`]?.f32 ?? assert.fail(name),
      found[`unfused ${name}`]?.f32 ?? assert.fail(name),
      bound,
    );
  for (const tensor of Object.values(given)) tensor.dispose();
}

test("linear_lora of ranks 1 to 64 equals its layers, forward and backward", async () => {
  for (let rank = 1; rank <= 64; rank++) await compare(rank);
});
