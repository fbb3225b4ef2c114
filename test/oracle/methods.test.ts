/** Five steps of each re-training method against PyTorch (methods.py): loss terms, gradients, the teacher's weights. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { retrainSettings, segmenterSettings } from "../../src/config/schema.js";
import type { WeightSet } from "../../src/graph/weights.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { type MethodName, methods } from "../../src/retrain/methods/index.js";
import { RetrainStep } from "../../src/retrain/step.js";
import { gradientsByName, part, travelled } from "./file-order.js";
import { Golden } from "./golden.js";
import { fillWeights } from "./inputs.js";
import { volumeBatch } from "./volumes.js";

interface Case {
  golden: string;
  method: MethodName;
  pseudoLabels: boolean;
  /** Networks in the order of their seeds, and how many of them are trained. */
  networks: readonly string[];
  trained: number;
  /** What a step records, in the order of the golden's columns behind the total and L_sup. */
  terms: readonly string[];
}

const cases: readonly Case[] = [
  {
    golden: "entropy-minimisation",
    method: "entropy-minimisation",
    pseudoLabels: true,
    networks: ["student"],
    trained: 1,
    terms: ["pseudoLabel", "entropy"],
  },
  {
    golden: "ua-mt",
    method: "ua-mt",
    pseudoLabels: true,
    networks: ["student", "teacher"],
    trained: 1,
    terms: ["pseudoLabel", "consistency", "certainShare"],
  },
  {
    golden: "cps",
    method: "cps",
    pseudoLabels: true,
    networks: ["student", "second"],
    trained: 2,
    terms: ["pseudoLabel", "secondNetwork", "crossSupervision"],
  },
  {
    golden: "ict",
    method: "ict",
    pseudoLabels: false,
    networks: ["student", "teacher"],
    trained: 1,
    terms: ["consistency"],
  },
  {
    golden: "acmt-ent",
    method: "acmt-ent",
    pseudoLabels: true,
    networks: ["student", "teacher"],
    trained: 1,
    terms: ["pseudoLabel", "consistency", "ambiguousShare"],
  },
  {
    golden: "acmt-mu",
    method: "acmt-mu",
    pseudoLabels: true,
    networks: ["student", "teacher"],
    trained: 1,
    terms: ["pseudoLabel", "consistency", "ambiguousShare"],
  },
  {
    golden: "urpc",
    method: "urpc",
    pseudoLabels: true,
    networks: ["student"],
    trained: 1,
    terms: ["consistency", "pseudoLabel"],
  },
  {
    golden: "bcp",
    method: "bcp",
    pseudoLabels: true,
    networks: ["student", "teacher"],
    trained: 1,
    terms: ["taught", "pseudoLabel"],
  },
  {
    golden: "ict-pseudo",
    method: "ict",
    pseudoLabels: true,
    networks: ["student", "teacher"],
    trained: 1,
    terms: ["pseudoLabel", "consistency"],
  },
];

/** Convolution biases before batch-norms have no true gradient. */
const left = /\.conv\.[036]\.bias$/;
/** The project's bound for loss terms and gradients, relative. */
const projectBound = 1e-4;

function networkOf(step: RetrainStep, name: string): WeightSet {
  return step.networks.get(name) ?? assert.fail(`${name} is missing`);
}

function describe({ method, pseudoLabels, networks }: Case): RetrainStep {
  const step = new RetrainStep({
    method: methods[method],
    segmenter: segmenterSettings.parse({ filters: 4 }),
    // Without momentum and decay the optimiser's momentum is the gradient of the step.
    settings: retrainSettings.parse({
      steps: 10,
      learningRate: 0.05,
      momentum: 0,
      weightDecay: 0,
      consistency: 10,
    }),
    classes: 3,
    patch: [48, 32, 16],
    pseudoLabels,
    seed: 1,
  });
  for (const [i, name] of networks.entries()) fillWeights(networkOf(step, name), { calm: true, seed: i + 1 });
  const batch = volumeBatch();
  step.batch.images.f32.set(batch.images.f32);
  step.batch.labels.u8.set(batch.labels.u8.subarray(0, step.batch.labels.count));
  step.batch.pseudoLabels?.u8.set(batch.pseudoLabels.u8);
  return step;
}

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((total, x) => total + x * x, 0));

/** Gradients of the last step in the golden's order. */
function lastGradients(step: RetrainStep, trained: readonly string[]): Float32Array[] {
  return trained.flatMap((name) => {
    const momentum = part(step.state(), `optimizer/momentum/${name}/`);
    const network = networkOf(step, name);
    const gradients = gradientsByName(network, network.withRole("parameter"), (parameter) =>
      toFloat32(momentum.get(parameter) ?? assert.fail(parameter)),
    );
    const names = [...gradients.keys()].filter((parameter) => !left.test(parameter)).sort();
    return names.map((parameter) => gradients.get(parameter) ?? assert.fail(parameter));
  });
}

function joined(parts: readonly ArrayLike<number>[]): Float64Array {
  const all = new Float64Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const values of parts) {
    all.set(values, at);
    at += values.length;
  }
  return all;
}

for (const item of cases)
  test(`${item.golden}: five steps`, async () => {
    const golden = await Golden.read(`method-${item.golden}`);
    using step = describe(item);
    const start = networkOf(step, "student").toState();
    const rows: number[][] = [];
    const norms: number[][] = [];
    for (let t = 0; t < golden.losses().length; t++) {
      const record = await step.run(t);
      const { loss = Number.NaN, crossEntropy = Number.NaN, dice = Number.NaN } = record;
      const warmUp = t === 0 && methods[item.method].warmUp !== undefined;
      const terms = item.terms.map(
        (name) => record[name] ?? (warmUp ? 0 : assert.fail(`${name} is missing`)),
      );
      rows.push([loss, 0.5 * (crossEntropy + dice), ...terms]);
      const gradients = lastGradients(step, item.networks.slice(0, item.trained));
      const lengths = gradients.map(norm);
      norms.push(lengths);
      const directions = joined(gradients.map((values, i) => values.map((x) => x / (lengths[i] ?? 0))));
      golden.check(`direction_${t}`, directions, bound(golden, `direction_${t}`));
    }
    golden.checkLosses(rows, "spread", 2);
    // Some gradients of the first step are small sums of large numbers: there PyTorch's f32 is off by up to 4e-4.
    golden.checkLosses(norms, "rounding", 2, { key: "losses_norms" });
    const final = networkOf(step, "student").toState();
    const statistics = [...final.keys()].filter((name) => /\.running_(mean|var)$/.test(name)).sort();
    const values = statistics.map((name) => toFloat32(final.get(name) ?? assert.fail(name)));
    golden.check("statistics", joined(values), bound(golden, "statistics"));
    if (!item.networks.includes("teacher")) return;
    const teacher = networkOf(step, "teacher").toState();
    const names = networkOf(step, "student")
      .withRole("parameter")
      .flatMap(({ name }) => (left.test(name) ? [] : [name]))
      .sort();
    const way = names.map((name) => travelled(start, teacher, name) ?? assert.fail(name));
    golden.check("teacher", joined(way), bound(golden, "teacher"));
  });

/** The project's bound, or where PyTorch disagrees with itself by more, twice that: f32 leaves no more to be asked. */
function bound(golden: Golden, key: string): number {
  return Math.max(projectBound, 2 * golden.disagreement(key).largest);
}
