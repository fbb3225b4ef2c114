import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { retrainSettings, segmenterSettings, type Voxels } from "../../src/config/schema.js";
import { ConfidenceMeter, confidenceBins } from "../../src/exchange/confidence.js";
import { Tensor } from "../../src/native/tensor.js";
import { Segmenter, saveSegmenter } from "../../src/predict/segmenter.js";
import { slidingWindow } from "../../src/predict/sliding-window.js";
import { methods } from "../../src/retrain/methods/index.js";
import { RetrainStep } from "../../src/retrain/step.js";

const patch: Voxels = [32, 16, 16];
const extents = [16, 16, 32];
const segmenter = segmenterSettings.parse({ filters: 2 });

function describeStep(): RetrainStep {
  const settings = retrainSettings.parse({ steps: 4, labelledBatch: 1 });
  const method = methods["labelled-only"];
  return new RetrainStep({ method, segmenter, settings, classes: 3, patch, pseudoLabels: false, seed: 1 });
}

function crops(count: number): Tensor {
  const tensor = Tensor.zeros("f32", [count, ...extents]);
  tensor.f32.forEach((_, i, all) => {
    all[i] = Math.sin(i * i);
  });
  return tensor;
}

test("labels crops as prediction does: no dropout, running statistics, the weights of the moment", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "sfr-confidence-"));
  t.after(() => rm(folder, { recursive: true }));
  using step = describeStep();
  using meter = new ConfidenceMeter(step.student, segmenter, 3, patch, 1, 0);
  using images = crops(1);
  using labels = Tensor.zeros("u8", [1, ...extents]);
  step.batch.images.f32.set(images.f32);
  // A head that makes all classes win somewhere, so that labels tell batch statistics from running ones.
  step.student.get("out_conv.weight").f32.forEach((_, i, all) => {
    all[i] = 9 * Math.sin(i);
  });
  const [before] = await meter.measure(images, labels);
  await step.run(0);
  const [after] = await meter.measure(images, labels);
  assert.notEqual(after?.mean, before?.mean);
  assert.deepEqual(await meter.measure(images, labels), [after], "two looks differ");

  const path = join(folder, "segmenter.safetensors");
  await saveSegmenter(path, step.student, { model: "vnet", filters: 2, classes: 3, channels: 1, patch });
  using predictor = await Segmenter.load(path);
  using volume = Tensor.from("f32", extents, images.f32);
  using expected = await slidingWindow(volume, predictor);
  assert.ok(new Set(expected.labels.u8).size > 1, "one class alone proves nothing");
  assert.deepEqual(labels.u8, expected.labels.u8);
});

test("measures each crop by itself: C, foreground, histogram", async () => {
  using step = describeStep();
  const head = (name: string) => step.student.get(`out_conv.${name}`).f32;
  using meter = new ConfidenceMeter(step.student, segmenter, 3, patch, 1, 0.9);
  using images = crops(2);
  using labels = Tensor.zeros("u8", [2, ...extents]);
  head("weight").fill(0);
  // Softmax of logits l, 0, 0.
  const share = (logit: number) => Math.exp(logit) / (Math.exp(logit) + 2);
  const expected = (confidence: number, bin: number, foreground: number | null) => ({
    mean: confidence,
    foreground,
    histogram: confidenceBins.map((_, i) => (i === bin ? 1 : 0)),
  });
  const near = (received: Awaited<ReturnType<typeof meter.measure>>, wanted: ReturnType<typeof expected>) => {
    assert.equal(received.length, 2);
    for (const crop of received) {
      assert.ok(Math.abs(crop.mean - wanted.mean) < 1e-6, `${crop.mean}, expected ${wanted.mean}`);
      assert.equal(crop.foreground, wanted.foreground === null ? null : crop.mean);
      assert.deepEqual(crop.histogram, wanted.histogram);
    }
  };
  head("bias").set([3, 0, 0]);
  near(await meter.measure(images, labels), expected(share(3), 3, null));
  assert.ok(labels.u8.every((label) => label === 0));
  head("bias").set([0, 0, 2]);
  near(await meter.measure(images, labels), expected(share(2), 2, share(2)));
  assert.ok(
    labels.u8.every((label) => label === 255),
    "voxels below 0.9 are ignored",
  );
});

test("tells foreground from all voxels", async () => {
  using step = describeStep();
  using meter = new ConfidenceMeter(step.student, segmenter, 3, patch, 1, 0);
  using images = crops(1);
  using labels = Tensor.zeros("u8", [1, ...extents]);
  step.student.get("out_conv.weight").f32.forEach((_, i, all) => {
    all[i] = 9 * Math.sin(i);
  });
  const [crop] = await meter.measure(images, labels);
  assert.ok(new Set(labels.u8).size > 1, "one class alone proves nothing");
  assert.notEqual(crop?.foreground, crop?.mean);
  const total = crop?.histogram.reduce((a, b) => a + b, 0) ?? 0;
  assert.ok(Math.abs(total - 1) < 1e-9);
});
