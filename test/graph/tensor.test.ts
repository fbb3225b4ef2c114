import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DataError, DisposedError, DtypeError, ShapeError } from "../../src/errors.js";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { Tensor } from "../../src/native/tensor.js";

test("a tensor is filled from a range of a file", () => {
  const path = join(mkdtempSync(join(tmpdir(), "sfr-")), "values.bin");
  writeFileSync(path, Buffer.from(new Float32Array([1, 2, 3, 4]).buffer));
  const tensor = Tensor.zeros("f32", [2]);
  tensor.fillFromFile(path, 4);
  assert.deepEqual([...tensor.data], [2, 3]);
  assert.throws(() => tensor.fillFromFile(path, 12), { name: "DataError", message: /the file ends before/ });
  assert.throws(() => tensor.fillFromFile(`${path}.no`, 0), DataError);
});

test("a handle tells dtype, shape and device, and is disposed with its scope", async () => {
  let kept: Tensor;
  {
    await using tensor = Tensor.zeros("u16", [2, 3]);
    assert.deepEqual(
      [tensor.dtype, tensor.shape, tensor.device, tensor.count, tensor.disposed],
      ["u16", [2, 3], "cpu", 6, false],
    );
    kept = tensor;
  }
  assert.equal(kept.disposed, true);
  assert.throws(() => kept.data, DisposedError);
});

test("wrong shapes, types and counts are refused", () => {
  assert.throws(() => Tensor.from("f32", [3], [1, 2]), ShapeError);
  assert.throws(() => Tensor.zeros("f32", [1, 1, 1, 1, 1, 1, 1]), ShapeError);
  assert.throws(() => Tensor.zeros("f32", [-1]), ShapeError);
  assert.throws(() => Tensor.zeros("f99" as "f32", [1]), DtypeError);
  assert.throws(() => Tensor.zeros("u8", [1]).f32, DtypeError);
  assert.throws(() => Tensor.zeros("f32", [1 << 20, 1 << 20, 1 << 10]), {
    name: "DeviceError",
    message: /bytes/,
  });
});

test("state outlives its handle: a program keeps the memory of a disposed tensor", async () => {
  const graph = new Graph();
  const state = Tensor.from("f32", [2], [3, 4]);
  const program = graph.compile({ y: ops.sum(graph.persistent(state, "state")) });
  state.dispose();
  assert.equal((await program.run()).y.item, 7);
  program.dispose();
  await assert.rejects(program.run(), DisposedError);
  assert.throws(() => program.outputs.y.item, DisposedError);
});

test("a program runs once at a time", async () => {
  const graph = new Graph();
  await using program = graph.compile({ y: ops.sum(graph.input("x", "f32", [1 << 20])) });
  const x = Tensor.zeros("f32", [1 << 20]);
  const running = program.run({ x });
  await assert.rejects(program.run({ x }), { name: "UsageError", message: /second run/ });
  await running;
});
