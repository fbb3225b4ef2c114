/**
 * Whole training steps end in the same bits whatever the number of threads, and again in another process: this file runs
 * itself once for each number of threads, and compares what the processes say.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { finetuneSettings, retrainSettings, segmenterSettings } from "../../src/config/schema.js";
import { FinetuneStep } from "../../src/finetune/step.js";
import { samConfig } from "../../src/models/sam/config.js";
import { SamNetwork, type SamTraining } from "../../src/models/sam/network.js";
import { configureEngine, engineInfo } from "../../src/native/native.js";
import { meanTeacher } from "../../src/retrain/methods/mean-teacher.js";
import { RetrainStep } from "../../src/retrain/step.js";
import type { State } from "./file-order.js";
import { checkerLabel, fillWeights, image } from "./inputs.js";

const classes = 3;
const steps = 2; // the second one starts from what the first one wrote
const seed = 1;

/** Losses by step, and a hash of every tensor that the steps change. */
type Bits = Record<string, string>;

function bitsOf(name: string, losses: readonly Record<string, number>[], state: State): Bits {
  const bits: Bits = { [`${name} losses`]: JSON.stringify(losses) };
  for (const [tensor, { data }] of state)
    bits[`${name} ${tensor}`] = createHash("sha256").update(data).digest("base64");
  return bits;
}

async function vnetSteps(): Promise<Bits> {
  using step = new RetrainStep({
    method: meanTeacher,
    segmenter: segmenterSettings.parse({ filters: 8 }),
    settings: retrainSettings.parse({}),
    classes,
    patch: [48, 48, 32],
    pseudoLabels: true,
    seed,
  });
  const { images, labels, pseudoLabels } = step.batch;
  const given = checkerLabel(images.shape.slice(0, 4), classes, 8);
  images.f32.set(image("volume", given, images.shape));
  labels.u8.set(given.subarray(0, labels.count));
  pseudoLabels?.u8.set(given.subarray(labels.count));
  const losses = [];
  for (let t = 0; t < steps; t++) losses.push(await step.run(t));
  return bitsOf("V-Net", losses, step.state());
}

async function samSteps(training: SamTraining): Promise<Bits> {
  using network = new SamNetwork(samConfig("tiny", 256, classes), training, seed);
  using step = new FinetuneStep(network, finetuneSettings.parse({}), 2);
  // Position and relative tables start at zero otherwise, and so do LoRA's B.
  fillWeights({ toState: () => network.toState(false), load: (state) => network.load(state) });
  const labels = checkerLabel(step.labels.shape, classes, 16);
  step.canvases.f32.set(image("canvas", labels, step.canvases.shape));
  step.labels.u8.set(labels);
  const losses = [];
  for (let t = 0; t < steps; t++) losses.push(await step.run(t, 1e-3));
  return bitsOf(`SAM ${training.kind}`, losses, step.state());
}

const option = "--bits-with-threads=";

/** What a process of its own computes with this number of threads. */
function bitsWith(threads: number): Bits {
  const child = spawnSync(process.execPath, [import.meta.filename, option + threads], {
    encoding: "utf8",
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    maxBuffer: 2 ** 26,
  });
  assert.equal(child.status, 0, child.stderr);
  return JSON.parse(child.stdout) as Bits;
}

const asked = process.argv.find((argument) => argument.startsWith(option));
if (asked === undefined)
  test("V-Net and SAM steps: the same bits with 1, 2, 3 and 64 threads, and in a second run", () => {
    const expected = bitsWith(1);
    // Weights, moments or momenta, statistics and losses of three trainings.
    assert.ok(Object.keys(expected).length > 1000, `${Object.keys(expected).length} tensors`);
    for (const threads of [1, 2, 3, 64]) {
      const bits = bitsWith(threads);
      assert.deepEqual(Object.keys(bits), Object.keys(expected));
      const differing = Object.keys(bits).filter((name) => bits[name] !== expected[name]);
      assert.deepEqual(differing, [], `${threads} threads`);
    }
  });
else {
  const threads = Number(asked.slice(option.length));
  configureEngine({ threads });
  assert.equal(engineInfo().threads, threads);
  const bits = { ...(await vnetSteps()), ...(await samSteps({ kind: "all" })) };
  const lora = await samSteps({ kind: "lora", rank: 4, targets: ["q", "k", "v", "proj", "mlp"] });
  console.log(JSON.stringify({ ...bits, ...lora }));
}
