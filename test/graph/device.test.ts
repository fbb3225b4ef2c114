/** Programs on a device: the launch shim in the place of a card. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { skipWithoutShim as skip, useDevice } from "../shim.js";

test("the memory of a device is none of the process", { skip }, () => {
  const graph = new Graph();
  const y = ops.softmax(ops.relu(graph.input("x", "f32", [64, 1024])));
  useDevice("shim");
  using here = graph.compile({ y: y });
  using there = graph.compile({ y: y }, { onDevice: true });
  assert.equal(here.explain().device, "cpu");
  assert.ok(here.addedBytes >= 4 * 64 * 1024, `${here.addedBytes}`);
  assert.equal(there.explain().device, "shim:0 launch shim");
  assert.equal(there.addedBytes, 0);
});
