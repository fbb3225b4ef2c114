import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { CancelledError, DisposedError, ShapeError, UsageError } from "../../src/errors.js";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { minimize, OptimizerState } from "../../src/graph/optimizer.js";
import { engineInfo } from "../../src/native/native.js";
import { Tensor } from "../../src/native/tensor.js";

const vector = (...values: number[]) => Tensor.from("f32", [values.length], values);

test("a run gives values and gradients", async () => {
  const graph = new Graph();
  const a = graph.input("a", "f32", [3]);
  const b = graph.input("b", "f32", [3]);
  const loss = ops.sum(ops.multiply(a, b));
  const [da] = graph.gradients(loss, [a]);
  assert(da);
  using program = graph.compile({ loss, da });
  const out = await program.run({ a: vector(1, 2, 3), b: vector(4, 5, 6) });
  assert.equal(out.loss.item, 32);
  assert.deepEqual([...out.da.data], [4, 5, 6]);
});

test("a gradient is a value that can be used further on", async () => {
  // x + d(sum x^2)/dx = 3x: virtual adversarial training moves an input along a gradient like this.
  const graph = new Graph();
  const x = graph.input("x", "f32", [2]);
  const [dx] = graph.gradients(ops.sum(ops.multiply(x, x)), [x]);
  assert(dx);
  const loss = ops.sum(ops.multiply(ops.add(x, ops.stopGradient(dx)), x));
  const [second] = graph.gradients(loss, [x]);
  assert(second);
  using program = graph.compile({ loss, second });
  const out = await program.run({ x: vector(1, -2) });
  assert.equal(out.loss.item, 15);
  assert.deepEqual([...out.second.data], [4, -8]); // d/dx (x + s) x with s = 2x held fixed: 2x + 2x
});

test("stopGradient passes the value and no gradient", async () => {
  const graph = new Graph();
  const x = graph.input("x", "f32", [2]);
  const loss = ops.sum(ops.multiply(x, ops.stopGradient(x)));
  const [dx] = graph.gradients(loss, [x]);
  assert(dx);
  using program = graph.compile({ loss, dx });
  const out = await program.run({ x: vector(3, 4) });
  assert.equal(out.loss.item, 25);
  assert.deepEqual([...out.dx.data], [3, 4]);
});

test("a weight that is used twice gets the sum of both gradients", async () => {
  const graph = new Graph();
  const w = vector(2);
  const [x, y] = [graph.input("x", "f32", [1]), graph.input("y", "f32", [1])];
  const first = ops.multiply(x, graph.persistent(w, "w"));
  const again = ops.multiply(y, graph.persistent(w, "w"));
  const [dw] = graph.gradients(ops.sum(ops.add(first, again)), [graph.persistent(w, "w")]);
  assert(dw);
  using program = graph.compile({ dw });
  assert.equal((await program.run({ x: vector(3), y: vector(10) })).dw.item, 13);
});

test("two optimisers of one step update their own parameters", async () => {
  const graph = new Graph();
  const [p, q] = [vector(1), vector(1)];
  const [pv, qv] = [graph.persistent(p, "p"), graph.persistent(q, "q")];
  const loss = ops.sum(ops.add(ops.affine(pv, 2), ops.affine(qv, 3)));
  const lr = graph.input("lr", "f32", []);
  const step = graph.input("step", "f32", []);
  using states = new OptimizerState();
  minimize(
    graph,
    loss,
    [{ name: "p", tensor: p }],
    states,
    { kind: "sgd", momentum: 0, weightDecay: 0 },
    lr,
    step,
  );
  minimize(
    graph,
    loss,
    [{ name: "q", tensor: q }],
    states,
    { kind: "sgd", momentum: 0, weightDecay: 0.5 },
    lr,
    step,
  );
  using program = graph.compile({ loss });
  await program.run({ lr: 0.1, step: 1 });
  assert.ok(Math.abs((p.f32[0] ?? 0) - 0.8) < 1e-6);
  assert.ok(Math.abs((q.f32[0] ?? 0) - (1 - 0.1 * 3.5)) < 1e-6);
});

test("batch-norm statistics move in order of construction and can be frozen", async () => {
  const run = async (updates: readonly boolean[]) => {
    const graph = new Graph();
    const tensors = [vector(1), vector(0), vector(0), vector(1)] as const;
    const [weight, bias, mean, variance] = tensors;
    const state = {
      weight: graph.persistent(weight, "weight"),
      bias: graph.persistent(bias, "bias"),
      runningMean: graph.persistent(mean, "mean"),
      runningVariance: graph.persistent(variance, "variance"),
    };
    const outputs = updates.map((updateStatistics, i) =>
      ops.sum(
        ops.batchNorm(graph.input(`x${i}`, "f32", [4, 1]), state, { training: true, updateStatistics }),
      ),
    );
    using program = graph.compile(Object.fromEntries(outputs.map((value, i) => [`y${i}`, value])));
    const batches = updates.map((_, i) => [
      `x${i}`,
      Tensor.from("f32", [4, 1], [0, 0, 10 ** i * 2, 10 ** i * 2]),
    ]);
    await program.run(Object.fromEntries(batches));
    return mean.f32[0] ?? Number.NaN;
  };
  assert.ok(Math.abs((await run([true, true])) - (0.9 * 0.1 * 1 + 0.1 * 10)) < 1e-6);
  assert.ok(Math.abs((await run([true, false])) - 0.1) < 1e-6);
  assert.equal(await run([false, false]), 0);
});

test("errors name the op and point at the builder", () => {
  const graph = new Graph();
  const [a, b] = [graph.input("a", "f32", [2, 3]), graph.input("b", "f32", [4])];
  assert.throws(() => graph.within("block", () => ops.add(a, b)), {
    name: "ShapeError",
    message: /add block: expected the shape \[2, 3\].* received f32\[4\]/,
  });
  assert.throws(() => graph.node("ad", [a]), { name: "UsageError", message: /did you mean add\?/ });
  assert.throws(() => graph.node("affine", [a], { facto: 2 }), {
    name: "UsageError",
    message: /received facto/,
  });
  assert.throws(() => graph.gradients(ops.sum(a), [b]), UsageError);
  assert.throws(() => graph.gradients(a, [a]), ShapeError);
});

test("an op without a gradient rule is named", () => {
  const graph = new Graph();
  const matrix = graph.input("m", "f32", [2, 4]);
  const [dm] = graph.gradients(ops.sum(ops.fourierPositions(matrix, [2, 2])), [matrix]);
  assert(dm);
  assert.throws(() => graph.compile({ dm }), { message: /gradient rule for fourier_positions/ });
});

test("tensors share memory, and use after dispose throws", () => {
  const tensor = Tensor.zeros("f32", [2]);
  tensor.f32[1] = 7;
  const view = tensor.data;
  assert.equal(tensor.f32[1], 7);
  tensor.dispose();
  assert.equal(view.length, 0);
  assert.throws(() => tensor.data, DisposedError);
  tensor.dispose();
});

test("inputs are checked by name, shape and dtype", async () => {
  const graph = new Graph();
  const a = graph.input("a", "f32", [2]);
  using program = graph.compile({ y: ops.affine(a, 2) });
  await assert.rejects(program.run({}), { name: "UsageError", message: /input a/ });
  await assert.rejects(program.run({ b: vector(1, 2) }), { name: "UsageError", message: /among \(a\)/ });
  await assert.rejects(program.run({ a: vector(1) }), { name: "ShapeError" });
  await assert.rejects(program.run({ a: Tensor.zeros("u8", [2]) }), { name: "DtypeError" });
});

test("a cancelled step leaves the state of the step before", async () => {
  const graph = new Graph();
  const state = vector(...new Array<number>(1 << 16).fill(1));
  let value = graph.persistent(state, "state");
  const target = value;
  for (let i = 0; i < 2000; i++) value = ops.affine(value, 1.001);
  ops.ema(graph.input("alpha", "f32", []), [
    { teacher: target, student: graph.persistent(Tensor.zeros("f32", state.shape), "zero") },
  ]);
  using program = graph.compile({ y: ops.sum(value) });
  const abort = new AbortController();
  const running = program.run({ alpha: 0 }, abort.signal);
  abort.abort();
  await assert.rejects(running, CancelledError);
  assert.equal(state.f32[0], 1);
  await program.run({ alpha: 0 });
  assert.equal(state.f32[0], 0);
});

test("explain tells kernels, bytes and FLOPs", () => {
  const graph = new Graph();
  const x = graph.input("x", "f32", [100]);
  using program = graph.compile({ y: ops.sum(ops.affine(x, 2)) });
  const explained = program.explain();
  assert.deepEqual(
    explained.nodes.map((node) => node.op),
    ["affine", "sum"],
  );
  assert.ok(explained.nodes.every((node) => node.kernel !== null));
  assert.equal(explained.nodes[0]?.bytes, 800);
  assert.ok(explained.peakBytes >= explained.arenaBytes);
});

test("every builder passes attributes that its op knows, and every op has a builder", () => {
  const folder = new URL("../../../src/graph/ops/", import.meta.url);
  const source = readdirSync(folder)
    .map((name) => readFileSync(new URL(name, folder), "utf8"))
    .join("\n");
  const built = new Set([...source.matchAll(/\.node\(\s*"(\w+)"/g)].map((match) => match[1]));
  // Backward ops are added by gradient rules only, what normalises on load and those to and from bf16 by passes.
  const known = Object.keys(engineInfo().ops).filter(
    (op) => !/_backward|_bf16|^pad$|^batch_norm_(statistics|table)$/.test(op),
  );
  assert.deepEqual([...built].sort(), known.sort());
});

test("while a step runs, programs are compiled and facts told without waiting for it", async () => {
  const graph = new Graph();
  const x = graph.input("x", "f32", [1, 1024, 1024]);
  // Some 200 GFLOP: far more than 5 ms anywhere.
  let product = x;
  for (let i = 0; i < 100; i++) product = ops.matmul(product, x);
  using long = graph.compile({ last: ops.sum(product) });
  using values = Tensor.zeros("f32", [1, 1024, 1024]);
  const running = long.run({ x: values });
  await setTimeout(5);
  // A running step does not count yet: equal numbers mean that it has not ended between them.
  const { busySeconds } = engineInfo();
  const other = new Graph();
  const y = other.input("y", "f32", [3]);
  other.compile({ sum: ops.sum(ops.multiply(y, y)) }).dispose();
  assert.equal(engineInfo().busySeconds, busySeconds);
  await running;
  assert(engineInfo().busySeconds > busySeconds);
});
