/** AdamW, SGD with momentum and the teacher's moving average against PyTorch, five steps on a vector of 32. */
import { test } from "node:test";
import { retrainSettings } from "../../src/config/schema.js";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { adamWDefaults } from "../../src/graph/optimizer.js";
import { Tensor } from "../../src/native/tensor.js";
import { consistencyWeight, emaDecayAt, learningRate } from "../../src/retrain/schedule.js";
import { Golden } from "./golden.js";
import { normal } from "./inputs.js";

const count = 32;
const steps = 5;
// A step rounds the parameter to f32 (6e-8) a handful of times, and there are five of them.
const bound = 2.5e-7;

test("AdamW with a falling learning rate", async () => {
  const golden = await Golden.read("optimisers");
  const graph = new Graph();
  using parameter = Tensor.from("f32", [count], normal("parameter", [count]));
  const state = (name: string) => graph.persistent(Tensor.zeros("f32", [count]), name);
  const slot = {
    parameter: graph.persistent(parameter, "parameter"),
    gradient: graph.input("gradient", "f32", [count]),
    first: state("first"),
    second: state("second"),
  };
  const { kind: _, ...settings } = adamWDefaults;
  ops.adamw(graph.input("learningRate", "f32", []), graph.input("step", "f32", []), [slot], {
    ...settings,
    weightDecay: 0.1,
  });
  using program = graph.compile({});
  for (let t = 0; t < steps; t++) {
    const gradient = Tensor.from("f32", [count], normal("gradient", [count], t));
    await program.run({ gradient, learningRate: 1e-2 * (1 - t / steps) ** 0.9, step: t + 1 });
    golden.check(`adamw_${t}`, parameter.f32, bound);
  }
});

test("SGD with momentum, then the average of its result", async () => {
  const golden = await Golden.read("optimisers");
  const graph = new Graph();
  using parameter = Tensor.from("f32", [count], normal("parameter", [count]));
  using teacher = Tensor.from("f32", [count], normal("teacher", [count]));
  const student = graph.persistent(parameter, "parameter");
  const slot = {
    parameter: student,
    gradient: graph.input("gradient", "f32", [count]),
    momentum: graph.persistent(Tensor.zeros("f32", [count]), "momentum"),
  };
  ops.sgd(graph.input("learningRate", "f32", []), [slot], { momentum: 0.9, weightDecay: 1e-4 });
  ops.ema(graph.input("alpha", "f32", []), [{ teacher: graph.persistent(teacher, "teacher"), student }]);
  using program = graph.compile({});
  for (let t = 0; t < steps; t++) {
    const gradient = Tensor.from("f32", [count], normal("gradient", [count], t));
    await program.run({ gradient, learningRate: 0.01, alpha: emaDecayAt(t, 0.99) });
    golden.check(`sgd_${t}`, parameter.f32, bound);
    golden.check(`ema_${t}`, teacher.f32, bound);
  }
});

test("learning rates, consistency weight and decay of the average over a training", async () => {
  const golden = await Golden.read("schedules");
  const at = [0, 1, 98, 99, 100, 149, 150, 2499, 2500, 4999, 5000, 5999];
  const [step, poly] = [retrainSettings.parse({ steps: 6000 }), retrainSettings.parse({ schedule: "poly" })];
  const values = {
    consistency: at.map((t) => consistencyWeight(t, step.steps, step.consistency)),
    ema: at.map((t) => emaDecayAt(t, step.emaDecay)),
    step: at.map((t) => learningRate(t, step)),
    poly: at.map((t) => learningRate(t, poly)),
  };
  // The golden keeps f32.
  for (const [name, value] of Object.entries(values)) golden.check(name, value, 1e-7);
});
