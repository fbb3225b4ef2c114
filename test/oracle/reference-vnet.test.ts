/** Our V-Net and Mean Teacher against the numbers of the authors' code (test/fixtures/reference/README.md). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { retrainSettings } from "../../src/config/schema.js";
import { Graph, type Program, type Value } from "../../src/graph/graph.js";
import { minimize, OptimizerState, type Parameter } from "../../src/graph/optimizer.js";
import { RandomStream } from "../../src/graph/random.js";
import { WeightSet } from "../../src/graph/weights.js";
import { elementCount, type HostTensor, toFloat32 } from "../../src/io/host-tensor.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { readWeights } from "../../src/io/weights-file.js";
import { segment } from "../../src/models/segmenter.js";
import { vnet } from "../../src/models/vnet.js";
import { Tensor } from "../../src/native/tensor.js";
import { meanTeacher } from "../../src/retrain/methods/mean-teacher.js";
import type { StepContext } from "../../src/retrain/methods/method.js";
import { networkPasses } from "../../src/retrain/network-passes.js";
import { close, labelOrder, permute, rms, volumeOrder } from "./axes.js";
import { gradientsByName, part, type State } from "./file-order.js";

const folder = join(import.meta.dirname, "..", "..", "..", "test", "fixtures", "reference", "vnet-4f");
const config = { filters: 4, classes: 3, dropout: 0 };
const settings = retrainSettings.parse({});
const imageShape = [4, 16, 32, 48, 1];
const halfShape = [2, 16, 32, 48];
/**
 * What our PyTorch network differs by between f32 and f64: rounding flips ReLUs after the first step. Losses by step:
 * total and its parts, and the consistency; tensors after the six steps: L2 distance, relative.
 */
const rounding = {
  losses: [
    [1.1e-7, 3e-10],
    [1.2e-6, 2.4e-8],
    [5e-5, 8e-7],
    [5e-5, 8e-6],
    [3.3e-4, 1.9e-5],
    [3.3e-4, 1.9e-5],
  ],
  gradients: 5e-3,
  tensors: {
    "after6.block_nine.conv.0.weight": 2.7e-4,
    "buffer_after6.block_five.conv.1.running_mean": 1.8e-2,
    "buffer_after6.block_five.conv.1.running_var": 4.6e-4,
    "buffer_after6.block_one.conv.1.running_mean": 1.6e-5,
    "buffer_after6.block_one.conv.1.running_var": 5e-6,
    "ema_after6.out_conv.weight": 1e-5,
    eval_logits_after6: 1.8e-3,
  },
};

async function fixture(): Promise<State> {
  return (await readSafetensors(join(folder, "expected.safetensors"))).tensors;
}

function get(tensors: State, name: string): HostTensor {
  return tensors.get(name) ?? assert.fail(`fixture lacks ${name}`);
}

/** Sample or step `index` of images, noise or logits, channels last. */
function volume(tensor: HostTensor, samples: number, index = 0): Float32Array {
  const shape = [samples, ...tensor.shape.slice(-4)];
  const count = elementCount(shape);
  return permute(toFloat32(tensor).subarray(index * count, (index + 1) * count), shape, volumeOrder);
}

/** A scalar's value at step t. */
type Schedule = Parameters<StepContext["scalar"]>[1];

interface Training extends Disposable {
  program: Program;
  student: WeightSet;
  teacher: WeightSet;
  parameters: readonly Parameter[];
  scalars: ReadonlyMap<string, Schedule>;
}

/** The step as RetrainStep builds it, with the noise as an input and the gradients as outputs. */
function describe(): Training {
  const graph = new Graph();
  const [student, teacher] = [new WeightSet("student", 0), new WeightSet("teacher", 0)];
  const scalars = new Map<string, Schedule>();
  const scalar = (name: string, at: Schedule) => {
    scalars.set(name, at);
    return graph.input(name, "f32", []);
  };
  const rng = graph.input("rng", "i32", [3]);
  const images = graph.input("images", "f32", imageShape);
  const losses = meanTeacher.losses({
    graph,
    images,
    labels: graph.input("labels", "u8", halfShape),
    pseudoLabels: graph.input("pseudoLabels", "u8", halfShape),
    labelled: 2,
    unlabelled: 2,
    rng,
    noise: (_, shape) => graph.input("noise", "f32", shape),
    settings,
    student,
    network: () => teacher,
    ...networkPasses(vnet, config, images, rng),
    scalar,
  });
  const parameters = student.withRole("parameter");
  const values = parameters.map(({ name, tensor }) => graph.persistent(tensor, name));
  const gradients = graph.gradients(losses.total, values);
  const state = new OptimizerState();
  const { momentum, weightDecay, learningRate } = settings;
  const rate = scalar("learningRate", () => learningRate);
  const step = scalar("step", (t) => t + 1);
  minimize(graph, losses.total, parameters, state, { kind: "sgd", momentum, weightDecay }, rate, step);
  losses.afterUpdate?.();
  const outputs: Record<string, Value> = { total: losses.total, ...losses.terms };
  for (const [i, { name }] of parameters.entries()) outputs[`grad ${name}`] = gradients[i] ?? losses.total;
  const program = graph.compile(outputs);
  const dispose = () => {
    for (const owned of [program, state, student, teacher]) owned.dispose();
  };
  return { program, student, teacher, parameters, scalars, [Symbol.dispose]: dispose };
}

/** Images and labels of both kinds. */
function batchOf(expected: State): Record<string, Tensor> {
  const labels = (name: string) => {
    const { shape, data } = get(expected, name);
    return permute(Int32Array.from(data, Number), shape, labelOrder).subarray(0, elementCount(halfShape));
  };
  return {
    images: Tensor.from("f32", imageShape, volume(get(expected, "input"), 4)),
    labels: Tensor.from("u8", halfShape, labels("label")),
    pseudoLabels: Tensor.from("u8", halfShape, labels("pseudo_label")),
  };
}

function checkLosses(expected: State, t: number, out: Readonly<Record<string, Tensor>>): void {
  const item = (name: string) => out[name]?.item ?? Number.NaN;
  const labelled = 0.5 * (item("crossEntropy") + item("dice"));
  for (const [column, own] of [item("total"), labelled, item("pseudoLabel"), item("consistency")].entries()) {
    const target = Number(get(expected, "losses").data[4 * t + column]);
    const bound = Math.max(1e-6 * target, 5 * (rounding.losses[t]?.[column === 3 ? 1 : 0] ?? 0));
    assert.ok(
      Math.abs(own - target) <= bound,
      `step ${t}, loss ${column}: expected ${target} +- ${bound}, received ${own}`,
    );
  }
}

/** Compares the gradients of the first step: three whole ones and the norms of all. */
function checkGradients(expected: State, training: Training, out: Readonly<Record<string, Tensor>>): void {
  const { student, parameters } = training;
  const own = gradientsByName(student, parameters, (name) => out[`grad ${name}`]?.f32);
  for (const [name, target] of part(expected, "grad."))
    close(`gradient of ${name}`, own.get(name) ?? [], toFloat32(target), 2 * rounding.gradients);
  let compared = 0;
  for (const [name, norm] of part(expected, "grad_norm.")) {
    // Convolution biases before a batch-norm have a true gradient of zero; what stands there is rounding.
    if (/\.conv\.[036]\.bias$/.test(name)) continue;
    const gradient = own.get(name) ?? [];
    const length = rms(gradient) * Math.sqrt(gradient.length);
    close(`norm of the gradient of ${name}`, [length], toFloat32(norm), 2 * rounding.gradients);
    compared++;
  }
  assert.equal(compared, parameters.filter(({ name }) => !/\.conv\.[036]\.bias$/.test(name)).length);
}

test("six Mean Teacher steps equal the authors' code", async () => {
  const expected = await fixture();
  using training = describe();
  const { program, student, teacher, scalars } = training;
  const start = await readWeights(join(folder, "iter_0.pth"));
  for (const network of [student, teacher]) assert.deepEqual(network.load(start).missing, []);
  const batch = batchOf(expected);
  for (let t = 0; t < rounding.losses.length; t++) {
    const noise = Tensor.from("f32", imageShape, volume(get(expected, "noise"), 4, t));
    const now = Object.fromEntries(
      [...scalars].map(([name, at]) => [name, at(t, new RandomStream(0, t, name))]),
    );
    const out = await program.run({ ...batch, noise, ...now });
    checkLosses(expected, t, out);
    if (t === 0) checkGradients(expected, training, out);
  }
  const trained = student.toState();
  const own = new Map<string, ArrayLike<number>>([
    ["eval_logits_after6", await logits(trained, batch, false)],
    ...[...trained].flatMap(([name, tensor]) =>
      ["after6", "buffer_after6"].map((kind) => [`${kind}.${name}`, toFloat32(tensor)] as const),
    ),
    ...[...teacher.toState()].map(([name, tensor]) => [`ema_after6.${name}`, toFloat32(tensor)] as const),
  ]);
  for (const [name, spread] of Object.entries(rounding.tensors))
    close(name, own.get(name) ?? [], toFloat32(get(expected, name)), 3 * spread);
});

/** Logits of sample 0, in the authors' order. */
async function logits(
  weights: State,
  batch: Record<string, Tensor>,
  training: boolean,
): Promise<Float32Array> {
  const graph = new Graph();
  const set = new WeightSet("student", 0);
  const x = graph.input("x", "f32", imageShape);
  using program = graph.compile({
    y: segment(vnet, { graph, weights: set, training, updateStatistics: false }, x, config),
  });
  set.load(weights);
  const { y } = await program.run({ x: batch.images ?? assert.fail("no images") });
  set.dispose();
  return permute(y.f32.subarray(0, y.count / 4), [1, ...y.shape.slice(1)], volumeOrder);
}

test("logits of the first training pass equal the authors' network", async () => {
  const expected = await fixture();
  const own = await logits(await readWeights(join(folder, "iter_0.pth")), batchOf(expected), true);
  // f32 rounding through 28 layers: 3.4e-6 between f32 and f64 in PyTorch.
  close("train_logits", own, toFloat32(get(expected, "train_logits")), 2e-5);
});
