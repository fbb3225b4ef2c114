import assert from "node:assert/strict";
import { test } from "node:test";
import { finetuneSettings } from "../../src/config/schema.js";
import { finetuneLearningRate } from "../../src/finetune/schedule.js";

/** Learning rates of a training with these settings, by step. */
function rates(settings: object, isRandom: boolean): (t: number) => number {
  const parsed = finetuneSettings.parse({ learningRate: 1, ...settings });
  return (t) => finetuneLearningRate(t, parsed, isRandom);
}

test("the learning rate falls as (1 - t/T)^0.9, from the first step on with a checkpoint", () => {
  const rate = rates({ steps: 6000 }, false);
  assert.deepEqual([rate(0), rate(3000), rate(5999)], [1, 0.5 ** 0.9, (1 - 5999 / 6000) ** 0.9]);
});

test("a SAM from random weights warms up over T/24 steps", () => {
  const rate = rates({ steps: 6000 }, true);
  assert.deepEqual([rate(0), rate(124), rate(249)], [1 / 250, 0.5, 1]);
  assert.equal(rate(250), (1 - 250 / 6000) ** 0.9);
  const short = rates({ steps: 48 }, true);
  assert.deepEqual([short(0), short(1)], [0.5, 1]);
  // So few steps leave none to warm up.
  assert.equal(rates({ steps: 6 }, true)(0), 1);
});

test("a warm-up that the settings name is taken from both starts, none included", () => {
  for (const isRandom of [false, true]) {
    assert.equal(rates({ steps: 100, warmup: 4 }, isRandom)(0), 0.25);
    assert.equal(rates({ steps: 100, warmup: 0 }, isRandom)(0), 1);
  }
});
