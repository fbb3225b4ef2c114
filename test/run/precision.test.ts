/** `precision: bf16` against f32: what is kept in bf16, that trainings learn alike, and that results have keys of their own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  configSchema,
  finetuneSettings,
  retrainSettings,
  segmenterSettings,
} from "../../src/config/schema.js";
import { plainPlan } from "../../src/data/preprocessing-plan.js";
import { FinetuneStep } from "../../src/finetune/step.js";
import { samConfig } from "../../src/models/sam/config.js";
import { SamNetwork } from "../../src/models/sam/network.js";
import type { Precision } from "../../src/native/native.js";
import { methods } from "../../src/retrain/methods/index.js";
import { RetrainStep } from "../../src/retrain/step.js";
import { StageKeys } from "../../src/run/keys.js";
import { planArms } from "../../src/run/plan.js";
import type { RunContext } from "../../src/run/stage.js";
import { checkerLabel, image } from "../oracle/inputs.js";

/** Losses of a training. */
interface Training {
  readonly losses: readonly number[];
  readonly arenaBytes: number;
  readonly weightBytes: number;
  /** Ops of the step. */
  readonly ops: ReadonlySet<string>;
}

async function trainSam(precision: Precision): Promise<Training> {
  const config = samConfig("tiny", 128, 3);
  using network = new SamNetwork(config, { kind: "lora", rank: 4, targets: ["q", "v"] }, 1, { precision });
  using step = new FinetuneStep(network, finetuneSettings.parse({}), 2);
  const { weights } = network;
  assert.equal(weights.get("image_encoder.blocks.0.mlp.lin1.weight").dtype, precision);
  assert.equal(weights.get("image_encoder.blocks.0.attn.qkv.bias").dtype, "f32");
  assert.equal(weights.get("image_encoder.patch_embed.proj.weight").dtype, "f32");
  const labels = checkerLabel([2, 128, 128], 3, 32);
  step.canvases.f32.set(image("canvas", labels, [2, 1, 128, 128]));
  step.labels.u8.set(labels);
  return await follow(30, step, (t) => step.run(t, 1e-3));
}

async function trainVNet(precision: Precision): Promise<Training> {
  using step = new RetrainStep({
    method: methods["labelled-only"],
    segmenter: segmenterSettings.parse({ filters: 8, dropout: 0 }),
    settings: retrainSettings.parse({ steps: 30, labelledBatch: 2 }),
    classes: 2,
    patch: [64, 64, 32],
    pseudoLabels: false,
    precision,
    seed: 1,
  });
  const labels = checkerLabel([2, 32, 64, 64], 2, 8);
  step.batch.images.f32.set(image("volume", labels, [2, 1, 32, 64, 64]));
  step.batch.labels.u8.set(labels);
  return await follow(30, step, (t) => step.run(t));
}

async function follow(
  steps: number,
  step: FinetuneStep | RetrainStep,
  run: (t: number) => Promise<Record<string, number>>,
): Promise<Training> {
  const { nodes, arenaBytes, persistentBytes } = step.explain();
  const losses: number[] = [];
  for (let t = 0; t < steps; t++) losses.push((await run(t)).loss ?? Number.NaN);
  return { losses, arenaBytes, weightBytes: persistentBytes, ops: new Set(nodes.map(({ op }) => op)) };
}

/** Both fall by a fifth at least, and the difference stays below `share` of what f32 has learned by then. */
function assertLearnAlike(f32: Training, bf16: Training, share: number): void {
  const [first = Number.NaN] = f32.losses;
  for (const { losses } of [f32, bf16])
    assert.ok((losses.at(-1) ?? 1) < 0.8 * first, `from ${first} to ${losses.at(-1)}`);
  const largest = Math.max(...f32.losses.map((loss, t) => Math.abs(loss - (bf16.losses[t] ?? Number.NaN))));
  assert.ok(largest > 0 && largest <= share * first, `losses differ by ${largest}, from ${first}`);
}

// bf16 is off by 2^-9 = 0.2 % per number, sums of hundreds of them by less; 30 steps of training amplify that.
test("SAM with LoRA learns in bf16 as in f32, its frozen weights in half the memory", async () => {
  const [f32, bf16] = [await trainSam("f32"), await trainSam("bf16")];
  assertLearnAlike(f32, bf16, 0.02);
  // qkv, projection and both layers of the MLP: 3 + 1 + 4 + 4 times width squared in each block.
  const { width, depth } = samConfig("tiny", 128, 3);
  assert.equal(f32.weightBytes - bf16.weightBytes, 2 * 12 * width ** 2 * depth);
});

test("V-Net learns in bf16 as in f32, with less memory between forward and backward", async () => {
  const [f32, bf16] = [await trainVNet("f32"), await trainVNet("bf16")];
  assertLearnAlike(f32, bf16, 0.02);
  assert.ok(bf16.arenaBytes < 0.9 * f32.arenaBytes, `${bf16.arenaBytes} of ${f32.arenaBytes}`);
  assert.ok(bf16.ops.has("round_bf16") && !f32.ops.has("round_bf16"));
});

test("bf16 has stage keys of its own where it changes results, f32 those from before there was a choice", () => {
  const [none, f32, bf16] = [{}, { precision: "f32" }, { precision: "bf16" }].map((settings) =>
    keysOf(settings),
  );
  assert.deepEqual(f32, none);
  assert.equal(bf16?.prepare, f32?.prepare);
  for (const stage of ["finetune", "pseudoLabels", "weights", "predict"] as const)
    assert.notEqual(bf16?.[stage], f32?.[stage], stage);
});

test("a preprocessing plan and other ids have stage keys of their own", () => {
  const plain = new Set(Object.values(keysOf({})));
  for (const data of [{ plan: { ...plainPlan, window: [0, 1] } }, { relabel: { 2: 1 } }])
    for (const [stage, key] of Object.entries(keysOf({}, data))) assert.ok(!plain.has(key), stage);
});

function keysOf(settings: object, data: object = {}) {
  const config = configSchema.parse({
    ...{ name: "keys", data: { root: ".", labelled: 1 }, patch: [32, 32, 32] },
    ...{ arms: [{ method: "mean-teacher", pseudoLabels: "sam" }], ...settings },
  });
  const cases = {
    labelIds: [0, 1],
    plan: plainPlan,
    relabel: {},
    ...data,
    hashesOf: () => [],
    split: { labelled: [], unlabelled: [], test: [] },
  };
  const [arm] = planArms(config);
  assert.ok(arm);
  const keys = new StageKeys({ config, cases } as unknown as RunContext, {});
  return {
    prepare: keys.prepare(),
    finetune: keys.finetune(),
    pseudoLabels: keys.pseudoLabels(),
    weights: keys.weights(arm),
    predict: keys.predict(arm),
  };
}
