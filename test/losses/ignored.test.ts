/** Ignored voxels take no part in a loss: as if they were not there. Gaps of canvases do, in one place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gapClass, ignoredClass } from "../../src/data/label-table.js";
import { Graph, type Value } from "../../src/graph/graph.js";
import { RandomStream } from "../../src/graph/random.js";
import { regionLoss } from "../../src/losses/region.js";
import { supervisedLoss } from "../../src/losses/supervised.js";
import { Tensor } from "../../src/native/tensor.js";

const classes = 3;

/** A loss of logits [1, 1, 1, n, K] by rows, and its gradient. */
async function lossOf(
  of: (logits: Value, labels: Value) => Record<"loss" | "crossEntropy" | "dice", Value>,
  rows: readonly (readonly number[])[],
  labels: readonly number[],
): Promise<{ crossEntropy: number; dice: number; gradient: number[] }> {
  const shape = [1, 1, 1, labels.length];
  const graph = new Graph();
  const logits = graph.input("logits", "f32", [...shape, classes]);
  const { loss, crossEntropy, dice } = of(logits, graph.input("labels", "u8", shape));
  const [gradient] = graph.gradients(loss, [logits]);
  assert.ok(gradient);
  using program = graph.compile({ crossEntropy, dice, gradient });
  const out = await program.run({
    logits: Tensor.from("f32", logits.shape, Float32Array.from(rows.flat())),
    labels: Tensor.from("u8", shape, Uint8Array.from(labels)),
  });
  return { crossEntropy: out.crossEntropy.item, dice: out.dice.item, gradient: [...out.gradient.f32] };
}

const stream = new RandomStream(1, 0, "ignored");
const rows = Array.from({ length: 41 }, () => Array.from({ length: classes }, () => 2 * stream.normal()));
const labels = rows.map((_, i) => (i % 4 === 1 ? ignoredClass : i % classes));
const isKnown = (i: number) => labels[i] !== ignoredClass;

for (const [name, of] of [
  ["L_sup", supervisedLoss],
  ["a region's loss", regionLoss],
] as const) {
  test(`${name}: ignored voxels count as if they were not there`, async () => {
    const all = await lossOf(of, rows, labels);
    const known = await lossOf(
      of,
      rows.filter((_, i) => isKnown(i)),
      labels.filter((_, i) => isKnown(i)),
    );
    // The same terms in f32, summed in another order: some units of 6e-8.
    const isNear = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-6, `${a}, ${b}`);
    isNear(all.crossEntropy, known.crossEntropy);
    isNear(all.dice, known.dice);
    const kept = all.gradient.filter((_, i) => isKnown(Math.floor(i / classes)));
    for (const [i, value] of kept.entries()) isNear(value, known.gradient[i] ?? Number.NaN);
    const rest = all.gradient.filter((_, i) => !isKnown(Math.floor(i / classes)));
    assert.ok(rest.every((value) => value === 0));
    assert.ok(Math.max(...kept) > 1e-3);
  });

  test(`${name}: nothing is known, nothing is learned`, async () => {
    const none = labels.map(() => ignoredClass);
    const { crossEntropy, dice, gradient } = await lossOf(of, rows, none);
    assert.equal(crossEntropy, 0);
    // 1 minus the mean of ratios of 1, rounded to f32.
    assert.ok(Math.abs(dice) < 1e-7);
    assert.ok(gradient.every((value) => value === 0));
  });
}

test("gaps of a canvas: no cross-entropy, but their p^2 is in Dice's denominator, as in the authors' code", async () => {
  const withGaps = labels.map((label) => (label === ignoredClass ? gapClass : label));
  const [ignored, gaps] = [
    await lossOf(supervisedLoss, rows, labels),
    await lossOf(supervisedLoss, rows, withGaps),
  ];
  assert.equal(gaps.crossEntropy, ignored.crossEntropy);
  const softmax = rows.map((row) => {
    const weights = row.map(Math.exp);
    const total = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / total);
  });
  const expected = [0, 1, 2].map((k) => {
    const own = softmax.filter((_, i) => withGaps[i] === k).map((p) => p[k] ?? 0);
    const squares = softmax.reduce((sum, p) => sum + (p[k] ?? 0) ** 2, 0);
    return 1 - (2 * own.reduce((a, b) => a + b)) / (squares + own.length);
  });
  // 41 probabilities, each rounded to f32.
  assert.ok(Math.abs(gaps.dice - expected.reduce((a, b) => a + b) / classes) < 1e-6);
  assert.ok(gaps.dice > ignored.dice + 0.01);
});
