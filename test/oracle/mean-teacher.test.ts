/** Mean Teacher steps of networks with 4 filters, with dropout and noise, against PyTorch: the step of a real run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { retrainSettings, segmenterSettings } from "../../src/config/schema.js";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { WeightSet } from "../../src/graph/weights.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { segment } from "../../src/models/segmenter.js";
import { segmenters } from "../../src/models/segmenters.js";
import { Tensor } from "../../src/native/tensor.js";
import { meanTeacher } from "../../src/retrain/methods/mean-teacher.js";
import { RetrainStep } from "../../src/retrain/step.js";
import { gradientsByName, part, type State, travelled } from "./file-order.js";
import { Golden } from "./golden.js";
import { fillWeights, type Stateful } from "./inputs.js";
import { batchShape, logitsOf, volumeBatch } from "./volumes.js";

const classes = 3;
const seed = 1;
const filters = 4;
/** Biases of the convolutions before norms, which subtract them again. */
const beforeNorm = { vnet: /\.conv\.[036]\.bias$/, unet3d: /\.conv[12]\.0\.bias$/ };

/** Which golden's case: the network, and whether its activations stay away from zero. */
interface Case {
  model: keyof typeof beforeNorm;
  calm: boolean;
}

const batchOf = ({ model, calm }: Case) => volumeBatch({ slabs: calm && model !== "vnet" });

/** The student or the teacher of a step. */
function network(step: RetrainStep, name: string): Stateful {
  return {
    toState: () => part(step.state(), `${name}/`),
    load: (state) =>
      step.restore(
        new Map([...step.state(), ...[...state].map(([key, tensor]) => [`${name}/${key}`, tensor] as const)]),
      ),
  };
}

/** Logits of a network with these weights on the batch, in PyTorch's order; in training with dropout of step 0. */
async function logits(
  { model, calm }: Case,
  weights: State,
  name: string,
  { training = true, noise = false } = {},
): Promise<Float32Array> {
  const graph = new Graph();
  const rng = graph.input("rng", "i32", [3]);
  const images = graph.input("images", "f32", batchShape);
  const x = noise ? ops.add(images, ops.gaussianNoise(rng, batchShape, 0.1, 0.2, "teacher/noise")) : images;
  const set = new WeightSet(name, seed);
  const context = { graph, weights: set, training, updateStatistics: false, rng };
  const { dropout } = segmenterSettings.parse({ model });
  using program = graph.compile({ y: segment(segmenters[model], context, x, { filters, dropout, classes }) });
  set.load(weights);
  const random = training ? { rng: Tensor.from("i32", [3], [seed, 0, 0]) } : {};
  const { y } = await program.run({ images: batchOf({ model, calm }).images, ...random });
  const values = logitsOf(y);
  set.dispose();
  return values;
}

/** Runs step t; returns its losses in the order of the golden's columns. */
async function runStep(step: RetrainStep, t: number): Promise<number[]> {
  const { loss = 0, crossEntropy = 0, dice = 0, pseudoLabel = 0, consistency = 0 } = await step.run(t);
  return [loss, 0.5 * (crossEntropy + dice), pseudoLabel, consistency];
}

function describe({ model, calm }: Case, weightDecay: number): RetrainStep {
  const step = new RetrainStep({
    method: meanTeacher,
    segmenter: segmenterSettings.parse({ model, filters }),
    settings: retrainSettings.parse({ learningRate: calm && model === "vnet" ? 0.05 : 0.01, weightDecay }),
    classes,
    patch: [48, 32, 16],
    pseudoLabels: true,
    seed,
  });
  fillWeights(network(step, "student"), { calm, seed: 1 });
  fillWeights(network(step, "teacher"), { calm, seed: 2 });
  const { images, labels, pseudoLabels } = batchOf({ model, calm });
  step.batch.images.f32.set(images.f32);
  step.batch.labels.u8.set(labels.u8.subarray(0, labels.count / 2));
  step.batch.pseudoLabels?.u8.set(pseudoLabels.u8);
  return step;
}

/** Gradients of the first step: what SGD's momentum holds after a step without weight decay. */
async function firstGradients(which: Case): Promise<ReadonlyMap<string, Float32Array>> {
  using step = describe(which, 0);
  await step.run(0);
  const momentum = part(step.state(), "optimizer/momentum/student/");
  return gradientsByName(step.student, step.student.withRole("parameter"), (name) =>
    toFloat32(momentum.get(name) ?? assert.fail(name)),
  );
}

async function compare(name: string, which: Case): Promise<void> {
  const { model, calm } = which;
  const golden = await Golden.read(name);
  using step = describe(which, retrainSettings.parse({}).weightDecay);
  const [start, teacher] = [network(step, "student").toState(), network(step, "teacher").toState()];
  // As in vnet.test.ts.
  const rounding = calm ? 5e-6 : 2e-5;
  golden.check("logits", await logits(which, start, "student"), rounding);
  golden.check("teacher_logits", await logits(which, teacher, "teacher", { noise: true }), rounding);

  const rows: number[][] = [];
  while (rows.length < golden.losses().length) rows.push(await runStep(step, rows.length));
  const trained = step.student.withRole("parameter").map((parameter) => parameter.name);
  golden.checkNames("travel", trained, beforeNorm[model]);
  // Flipped ReLUs make the ordinary network unstable under rounding: what f32 and f64 differ by is a matter of luck.
  if (calm) golden.checkLosses(rows, "spread", 2);
  else golden.checkLosses(rows, "rounding", 5);
  // What these differ by: one flipped ReLU, or in the end the travel. Which tensor has the most of it is chance.
  const bound = (key: string) => 3 * golden.disagreement(key).largest;
  const gradients = await firstGradients(which);
  golden.checkAll("grad", (tensor) => gradients.get(tensor), bound("grad"));

  const [final, average] = [network(step, "student").toState(), network(step, "teacher").toState()];
  const travel = (tensor: string) => travelled(start, final, tensor);
  if (calm)
    golden.checkAll("travel", travel, 1e-3); // the project's bound
  else {
    // For the same reason faithful runs end half the way apart, each tensor by chance: the typical one is judged.
    const limit = 1.5 * golden.disagreement("travel").median;
    const distance = golden.medianDistance("travel", travel);
    assert.ok(distance <= limit, `travel: expected <= ${limit}, received ${distance}`);
  }
  const values = (state: State) => (tensor: string) => toFloat32(state.get(tensor) ?? assert.fail(tensor));
  if (model === "vnet") golden.checkAll("statistics", values(final), bound("statistics"));
  // PyTorch averages the three unused heads too; ours are kept for the file alone.
  golden.checkAll("teacher", values(average), bound("teacher"), (tensor) => trained.includes(tensor));
  golden.check(
    "logits_after",
    await logits(which, final, "student", { training: false }),
    bound("logits_after"),
  );
}

test("calm V-Net: twenty steps", () => compare("mean-teacher-calm", { model: "vnet", calm: true }));

test("V-Net: twenty steps", () => compare("mean-teacher", { model: "vnet", calm: false }));

test("calm 3D U-Net: five steps", () => compare("mean-teacher-unet3d", { model: "unet3d", calm: true }));
