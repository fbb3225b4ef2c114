/** Our SAM with the sizes of the reference networks, held against the numbers of the public code. */
import assert from "node:assert/strict";
import { gapClass } from "../../src/data/label-table.js";
import { Graph, type Value } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { adamWDefaults, minimize, OptimizerState, type Parameter } from "../../src/graph/optimizer.js";
import { type HostTensor, toFloat32 } from "../../src/io/host-tensor.js";
import { tensorsInMemory } from "../../src/io/tensor-file.js";
import { supervisedLoss } from "../../src/losses/supervised.js";
import type { SamConfig } from "../../src/models/sam/config.js";
import { imageEncoder } from "../../src/models/sam/image-encoder.js";
import { SamNetwork } from "../../src/models/sam/network.js";
import { fullResolution } from "../../src/models/sam/sam.js";
import { Tensor } from "../../src/native/tensor.js";
import { canvasOrder, close, permute, rms } from "./axes.js";
import { gradientsByName, part, type State, travelled } from "./file-order.js";

/** What the public code read and wrote for one network. */
export interface SamReference {
  config: SamConfig;
  weights: State;
  /** Starting values of the LoRA tensors and of what trains beside them. */
  lora: State;
  expected: State;
}

/** The reference networks: a small neck and decoder, K masks. */
export function smallSam(classes: number): SamConfig {
  return {
    width: 96,
    depth: 4,
    heads: 3,
    globalBlocks: [1, 3],
    window: 14,
    canvas: 256,
    classes,
    decoderWidth: 64,
    decoderMlp: 128,
    iouHidden: 64,
  };
}

const shape = [2, 256, 256];
/** Rounding of f32 through encoder and decoder: the reference and our PyTorch network differ by 7e-7. */
const forwardBound = 5e-6;
/** And back again: by up to 2e-6. */
const gradientBound = 2e-5;

function get(tensors: State, name: string): HostTensor {
  return tensors.get(name) ?? assert.fail(`reference lacks ${name}`);
}

/** Low-resolution logits, and every 8th pixel of them at full size, in the order [N, K, rows, columns]. */
function checkMasks(expected: State, low: Tensor, full: Tensor): void {
  const torchOrder = [0, 3, 1, 2];
  close(
    "low_res_logits",
    permute(low.f32, low.shape, torchOrder),
    toFloat32(get(expected, "low_res_logits")),
    forwardBound,
  );
  const [, side = 0] = full.shape;
  const whole = permute(full.f32, full.shape, torchOrder);
  const sample = whole.filter((_, i) => i % 8 === 0 && Math.floor(i / side) % 8 === 0);
  close("masks_sample", sample, toFloat32(get(expected, "masks_sample")), forwardBound);
}

/** Without LoRA: embedding and masks of the whole network. */
export async function checkForward({ config, weights, expected }: SamReference): Promise<void> {
  using network = new SamNetwork(config, { kind: "all" }, 0);
  const graph = new Graph();
  const canvas = graph.input("canvas", "f32", shape);
  const low = network.forward(graph, canvas, false);
  const gray = ops.reshape(canvas, [...shape, 1]);
  const context = { graph, weights: network.weights, training: false, updateStatistics: false };
  const embedding = imageEncoder(context, ops.concat([gray, gray, gray], 3), config);
  using program = graph.compile({ low, full: fullResolution(low, config), embedding });
  await network.loadCheckpoint(tensorsInMemory(weights));
  const out = await program.run({ canvas: Tensor.from("f32", shape, toFloat32(get(expected, "input"))) });
  checkMasks(expected, out.low, out.full);
  const target = get(expected, "image_embedding");
  close(
    "image_embedding",
    out.embedding.f32,
    permute(toFloat32(target), target.shape, canvasOrder),
    forwardBound,
  );
}

/** Labels of the reference, whose Dice counts what it ignores (255) as ours counts gaps. */
const gapsOf = (labels: Int32Array) => labels.map((label) => (label === 255 ? gapClass : label));

/** With LoRA: logits and gradients of the first of six AdamW steps, losses of all, w_b_* after them. */
export async function checkTraining(reference: SamReference): Promise<void> {
  const { config, weights, lora, expected } = reference;
  using network = new SamNetwork(config, { kind: "lora", rank: 4, targets: ["q", "v"] }, 0);
  const graph = new Graph();
  const low = network.forward(graph, graph.input("canvas", "f32", shape), true);
  const labels = graph.input("labels", "u8", shape);
  const { loss, crossEntropy, dice } = supervisedLoss(fullResolution(low, config), labels);
  const parameters = network.parameters();
  const values = parameters.map(({ name, tensor }) => graph.persistent(tensor, name));
  const gradients = graph.gradients(loss, values);
  using state = new OptimizerState();
  const [learningRate, step] = [graph.input("learningRate", "f32", []), graph.input("step", "f32", [])];
  minimize(graph, loss, parameters, state, { ...adamWDefaults, weightDecay: 0.1 }, learningRate, step);
  const outputs: Record<string, Value> = { low, loss, crossEntropy, dice };
  for (const [i, { name }] of parameters.entries()) outputs[`grad ${name}`] = gradients[i] ?? loss;
  using program = graph.compile(outputs);
  await network.loadCheckpoint(tensorsInMemory(weights));
  network.load(new Map([...weights, ...lora]));

  const start = network.toState(true);
  const batch = {
    canvas: Tensor.from("f32", shape, toFloat32(get(expected, "input"))),
    labels: Tensor.from("u8", shape, gapsOf(Int32Array.from(get(expected, "label").data, Number))),
  };
  for (let t = 0; t < 6; t++) {
    const out = await program.run({ ...batch, learningRate: 1e-3, step: t + 1 });
    const target = [0, 1, 2].map((column) => Number(get(expected, "losses").data[3 * t + column]));
    const own = [out.loss, out.crossEntropy, out.dice].map((value) => value?.item ?? Number.NaN);
    for (const [i, value] of target.entries())
      close(`loss ${i} of step ${t}`, [own[i] ?? Number.NaN], [value], 1e-4); // the project's bound
    if (t === 0) checkFirst(expected, network, parameters, out);
  }
  const final = network.toState(true);
  for (const [name, target] of part(expected, "after6_")) {
    const from = toFloat32(get(start, name));
    const way = Float64Array.from(toFloat32(target), (value, i) => value - (from[i] ?? Number.NaN));
    close(`${name} after six steps`, travelled(start, final, name) ?? [], way, 1e-3); // the project's bound
  }
}

/** Logits and gradients of the first step: the LoRA tensors' whole, norms of the others. */
function checkFirst(
  expected: State,
  network: SamNetwork,
  parameters: readonly Parameter[],
  out: Readonly<Record<string, Tensor>>,
): void {
  const logits = get(expected, "lora_low_res_logits");
  close(
    "lora_low_res_logits",
    out.low?.f32 ?? [],
    permute(toFloat32(logits), logits.shape, canvasOrder),
    forwardBound,
  );
  const stateful = {
    toState: () => network.toState(false),
    load: (state: State) => network.load(state),
  };
  const own = gradientsByName(stateful, parameters, (name) => out[`grad ${name}`]?.f32);
  const judged = new Set<string>();
  for (const [name, target] of part(expected, "grad_w_"))
    close(`gradient of w_${name}`, own.get(`w_${name}`) ?? [], toFloat32(target), gradientBound);
  for (const [name, norm] of part(expected, "grad_norm.")) {
    judged.add(name);
    if (name.endsWith("k_proj.bias")) continue; // its true gradient is zero
    const gradient = own.get(name) ?? [];
    close(
      `norm of the gradient of ${name}`,
      [rms(gradient) * Math.sqrt(gradient.length)],
      toFloat32(norm),
      gradientBound,
    );
  }
  for (const name of part(expected, "grad_w_").keys()) judged.add(`w_${name}`);
  assert.deepEqual([...judged].sort(), parameters.map(({ name }) => name).sort());
}
