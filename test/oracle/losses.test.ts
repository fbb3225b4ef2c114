/** Cross-entropy, Dice loss and their gradient against PyTorch. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gapClass, ignoredClass } from "../../src/data/label-table.js";
import { Graph } from "../../src/graph/graph.js";
import { supervisedLoss } from "../../src/losses/supervised.js";
import { Tensor } from "../../src/native/tensor.js";
import { permute } from "./axes.js";
import { Golden } from "./golden.js";
import { checkerLabel, ignoreMost, markSome, normal } from "./inputs.js";

/** Shapes [N, K, axes...]; what happens to the labels hangs on the name. */
const cases = {
  plain_2: [2, 2, 24, 20],
  ignore_3: [2, 3, 24, 20],
  gaps_3: [2, 3, 24, 20],
  absent_5: [2, 5, 24, 20],
  mostly_ignored_3: [1, 3, 24, 20],
  volume_4: [2, 4, 10, 9, 7],
} as const satisfies Record<string, readonly number[]>;

function labelsOf(name: string, samples: number, classes: number, axes: readonly number[]): Uint8Array {
  let labels = checkerLabel([samples, ...axes], classes, 4);
  if (name.startsWith("absent")) labels = labels.map((label) => Math.min(label, 2));
  if (name.startsWith("ignore")) labels = markSome(labels, samples, ignoredClass);
  if (name.startsWith("gaps") || name.startsWith("absent")) labels = markSome(labels, samples, gapClass);
  return name.startsWith("mostly") ? ignoreMost(labels) : labels;
}

for (const [name, shape] of Object.entries<readonly number[]>(cases))
  test(`${name}: losses and gradient`, async () => {
    const golden = await Golden.read("losses");
    const [samples = 0, classes = 0, ...axes] = shape;
    const channelsLast = [samples, ...axes, classes];
    const order = [0, ...axes.map((_, i) => i + 2), 1];
    const graph = new Graph();
    const logits = graph.input("logits", "f32", channelsLast);
    const labels = graph.input("labels", "u8", [samples, ...axes]);
    const { loss, crossEntropy, dice } = supervisedLoss(logits, labels);
    const [gradient] = graph.gradients(loss, [logits]);
    assert.ok(gradient);
    using program = graph.compile({ loss, crossEntropy, dice, gradient });
    const values = normal(`logits/${name}`, shape).map((n) => 2 * n);
    const out = await program.run({
      logits: Tensor.from("f32", channelsLast, permute(values, shape, order)),
      labels: Tensor.from("u8", labels.shape, labelsOf(name, samples, classes, axes)),
    });
    const [expected] = golden.losses(`losses_${name}`).map((row) => row.values);
    // The result is rounded to f32 (6e-8) and PyTorch's own value is off by up to 3e-7 (the recorded spread).
    for (const [i, received] of [out.loss.item, out.crossEntropy.item, out.dice.item].entries())
      assert.ok(
        Math.abs(received - (expected?.[i] ?? Number.NaN)) <= 1e-6 * received,
        `loss ${i}: expected ${expected?.[i]}, received ${received}`,
      );
    const back = [0, shape.length - 1, ...axes.map((_, i) => i + 1)];
    // Each entry is a difference of probabilities that are rounded to f32: a few units of 6e-8.
    golden.check(`grad/${name}`, permute(out.gradient.f32, channelsLast, back), 1e-6);
  });
