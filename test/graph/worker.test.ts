import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { Tensor } from "../../src/native/tensor.js";

const url = (path: string) => new URL(`../../src/${path}`, import.meta.url).href;

/** Runs sum(2 x) in a worker thread that loads the addon anew. */
const source = `
  const { parentPort } = await import("node:worker_threads");
  const { Graph } = await import(${JSON.stringify(url("graph/graph.js"))});
  const ops = await import(${JSON.stringify(url("graph/ops.js"))});
  const { Tensor } = await import(${JSON.stringify(url("native/tensor.js"))});
  const graph = new Graph();
  const program = graph.compile({ y: ops.sum(ops.affine(graph.input("x", "f32", [1000]), 2)) });
  for (let i = 0; i < 20; i++) await program.run({ x: Tensor.from("f32", [1000], new Array(1000).fill(i)) });
  parentPort.postMessage(program.outputs.y.item);
`;

test("the addon works in worker threads, which share the engine's threads with the main one", async () => {
  const workers = [1, 2].map(() => new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`)));
  const answers = workers.map(
    (worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject)),
  );
  const graph = new Graph();
  await using program = graph.compile({ y: ops.sum(graph.input("x", "f32", [100])) });
  for (let i = 0; i < 50; i++) await program.run({ x: Tensor.from("f32", [100], new Array(100).fill(i)) });
  assert.equal(program.outputs.y.item, 4900);
  assert.deepEqual(await Promise.all(answers), [38000, 38000]);
  await Promise.all(workers.map((worker) => worker.terminate()));
});
