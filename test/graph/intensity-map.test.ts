import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Graph } from "../../src/graph/graph.js";
import { intensityMap } from "../../src/graph/ops.js";
import { Tensor } from "../../src/native/tensor.js";

interface BezierCase {
  control_points: [number, number][];
  input: number[];
  expected: number[];
}

const fixture = fileURLToPath(new URL("../../../test/fixtures/reference/bezier.json", import.meta.url));

test("the intensity map equals the authors' on all control points; other slices stay as they are", async () => {
  const cases = JSON.parse(readFileSync(fixture, "utf8")) as BezierCase[];
  const pixels = cases[0]?.input.length ?? 0;
  assert.equal(cases.length, 6);
  const shape = [2 * cases.length, 1, pixels];
  // Each case twice: mapped, and then left alone.
  using x = Tensor.from(
    "f32",
    shape,
    cases.flatMap((c) => [...c.input, ...c.input]),
  );
  const points = cases.flatMap((c) => {
    const inner = c.control_points.slice(1, 3).flat();
    return [...inner, ...inner];
  });
  using pointTensor = Tensor.from("f32", [2 * cases.length, 4], points);
  using apply = Tensor.from(
    "i32",
    [2 * cases.length],
    cases.flatMap(() => [1, 0]),
  );
  const graph = new Graph();
  const y = intensityMap(
    graph.input("x", "f32", shape),
    graph.input("points", "f32", pointTensor.shape),
    graph.input("apply", "i32", apply.shape),
  );
  using program = graph.compile({ y });
  const mapped = (await program.run({ x, points: pointTensor, apply })).y.f32;
  for (const [i, c] of cases.entries()) {
    for (const [k, expected] of c.expected.entries()) {
      // Control points and results are rounded to f32 (6e-8 each); a curve's slope of a few multiplies that.
      const received = mapped[2 * i * pixels + k] ?? Number.NaN;
      assert.ok(
        Math.abs(received - expected) <= 1e-6,
        `case ${i}, ${c.input[k]}: ${expected} <> ${received}`,
      );
      assert.equal(mapped[(2 * i + 1) * pixels + k], Math.fround(c.input[k] ?? Number.NaN));
    }
  }
});
