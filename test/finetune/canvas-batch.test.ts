import assert from "node:assert/strict";
import { test } from "node:test";
import { finetuneSettings } from "../../src/config/schema.js";
import { gapClass } from "../../src/data/label-table.js";
import { CanvasMaker } from "../../src/finetune/canvas-batch.js";
import { RandomStream } from "../../src/graph/random.js";
import { Tensor } from "../../src/native/tensor.js";
import { inputPlan } from "../../src/stitch/input-plan.js";

test("of a crop that was taken before, SAM gets as many neighbouring slices as it sees at once", async () => {
  const [side, depth, classes] = [8, 7, 7];
  const settings = finetuneSettings.parse({ intensityMap: 0, rotateCanvas: false });
  const plan = inputPlan([side, side, depth], { input: "scale", scale: 2, canvas: 48 });
  using maker = new CanvasMaker(plan, settings, classes, 1);
  // Each slice has one value, which is its label.
  const values = Float32Array.from({ length: depth * side ** 2 }, (_, i) => Math.floor(i / side ** 2));
  using canvases = Tensor.zeros("f32", [1, 48, 48]);
  using labels = Tensor.zeros("u8", [1, 48, 48]);
  const firsts = new Set<number>();
  for (let seed = 0; seed < 24; seed++) {
    const stream = new RandomStream(seed, 0, "crop");
    await maker.ofCrop(stream, values, Uint8Array.from(values), { canvases, labels }, 0);
    // Four tiles of 24 x 24 pixels with a border of 4.
    const middles = [12 * 48 + 12, 12 * 48 + 36, 36 * 48 + 12, 36 * 48 + 36];
    const shown = middles.map((at) => canvases.f32[at] ?? Number.NaN);
    const [first = Number.NaN] = shown;
    assert.deepEqual(shown, [first, first + 1, first + 2, first + 3]);
    assert.deepEqual(
      middles.map((at) => labels.u8[at]),
      shown,
    );
    assert.equal(labels.u8[0], gapClass);
    firsts.add(first);
  }
  assert.deepEqual([...firsts].toSorted(), [0, 1, 2, 3]);
});
