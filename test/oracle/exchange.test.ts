/** Alternating steps of SFR+ against PyTorch (exchange.py): confidence, routes, losses, and what both models become. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  exchangeSettings,
  finetuneSettings,
  retrainSettings,
  segmenterSettings,
  type Voxels,
} from "../../src/config/schema.js";
import { ExchangeStep } from "../../src/exchange/step.js";
import { Graph } from "../../src/graph/graph.js";
import { samConfig } from "../../src/models/sam/config.js";
import { SamNetwork } from "../../src/models/sam/network.js";
import { Tensor } from "../../src/native/tensor.js";
import { methods } from "../../src/retrain/methods/index.js";
import { stitchImage, stitchLabels } from "../../src/stitch/canvases.js";
import { inputPlan } from "../../src/stitch/input-plan.js";
import { travelled } from "./file-order.js";
import { Golden } from "./golden.js";
import { fillWeights, type Stateful } from "./inputs.js";
import { batchShape, volumeBatch } from "./volumes.js";

const patch: Voxels = [48, 32, 16];
const canvas = 256;
const classes = 3;
const plan = inputPlan(patch, { input: "native", scale: 1, canvas });

function describe(): ExchangeStep {
  const network = new SamNetwork(samConfig("tiny", canvas, classes), { kind: "all" }, 0);
  const step = new ExchangeStep({
    sam: network,
    plan,
    finetune: finetuneSettings.parse({ steps: 7, learningRate: 1e-4 }),
    segmenter: segmenterSettings.parse({ filters: 4 }),
    retrain: retrainSettings.parse({ steps: 10, learningRate: 0.05, consistency: 10 }),
    method: methods["mean-teacher"],
    settings: exchangeSettings.parse({ steps: 12, threshold: 0.8733, samRate: 1, segmenterRate: 1 }),
    ...{ classes, patch, channels: 1, samChannel: 0, seed: 1 },
  });
  fillWeights(samState(step), { calm: true });
  for (const [i, name] of ["student", "teacher"].entries())
    fillWeights(step.retrain.networks.get(name) ?? assert.fail(name), { calm: true, seed: i + 1 });
  return step;
}

const samState = ({ sam }: ExchangeStep): Stateful => ({
  toState: () => sam.toState(false),
  load: (state) => sam.load(state),
});

/** Tensors in alphabetical order, one behind the other: final minus start. */
function travel(
  start: ReturnType<Stateful["toState"]>,
  final: ReturnType<Stateful["toState"]>,
  names: string[],
) {
  const parts = names.sort().flatMap((name) => {
    const [, whole = name, third] = /^(.*)\[(query|value)\]$/.exec(name) ?? [];
    const way = travelled(start, final, whole) ?? assert.fail(whole);
    const length = third === undefined ? way.length : way.length / 3;
    const begin = third === "value" ? 2 * length : 0;
    return [...way.subarray(begin, begin + length)];
  });
  return parts;
}

test("SFR+: five alternating steps", async () => {
  const golden = await Golden.read("exchange");
  using step = describe();
  const { student } = step.retrain;
  const [samStart, studentStart] = [samState(step).toState(), student.toState()];
  const { images, labels } = volumeBatch();
  const voxels = images.count / 4;
  const extents = batchShape.slice(1, 4);
  step.retrain.batch.images.f32.set(images.f32.subarray(0, 2 * voxels));
  step.retrain.batch.labels.u8.set(labels.u8.subarray(0, 2 * voxels));
  step.crops.f32.set(images.f32.subarray(2 * voxels));

  const graph = new Graph();
  using program = graph.compile({
    canvases: stitchImage(graph.input("values", "f32", [2, ...extents]), plan),
    labels: stitchLabels(graph.input("labels", "u8", [2, ...extents]), plan, classes),
  });
  using values = Tensor.zeros("f32", [2, ...extents]);
  using targets = Tensor.zeros("u8", [2, ...extents]);
  const stitch = async (sample: number) => {
    const part = <T extends Float32Array | Uint8Array>(data: T) =>
      data.subarray(sample * voxels, (sample + 1) * voxels) as T;
    values.f32.set(images.f32.subarray(0, voxels));
    values.f32.set(part(step.crops.f32), voxels);
    targets.u8.set(labels.u8.subarray(0, voxels));
    targets.u8.set(part(step.segmenterLabels.u8), voxels);
    const made = await program.run({ values, labels: targets });
    step.finetune.canvases.f32.set(made.canvases.f32);
    step.finetune.labels.u8.set(made.labels.u8);
  };

  const rows: number[][] = [];
  while (rows.length < golden.losses().length) {
    const { record, crops } = await step.run(rows.length, { stitch });
    const { loss = 0, crossEntropy = 0, dice = 0, pseudoLabel = 0, consistency = 0, samLoss = 0 } = record;
    rows.push([
      ...[loss, 0.5 * (crossEntropy + dice), pseudoLabel, consistency, samLoss],
      ...crops.map(({ confidence }) => confidence.mean),
      ...crops.map(({ confidence }) => confidence.foreground ?? 0),
      ...crops.map(({ route }) => (route === "finetune" ? 1 : 0)),
    ]);
  }
  golden.checkLosses(rows, "spread", 2);

  // Biases before batch-norms have no true gradient, the unused heads none at all.
  const trained = student.withRole("parameter").map(({ name }) => name);
  const own = trained.filter((name) => !/\.conv\.[036]\.bias$/.test(name));
  // The project's bound for the way that weights travel, relative.
  golden.check("student_travel", travel(studentStart, student.toState(), own), 1e-3);
  const samNames = step.sam.parameters().flatMap(({ name }) => {
    if (name.endsWith("qkv.bias")) return ["[query]", "[value]"].map((third) => name + third);
    return name.endsWith("k_proj.bias") ? [] : [name];
  });
  golden.check("sam_travel", travel(samStart, samState(step).toState(), samNames), 1e-3);
});
