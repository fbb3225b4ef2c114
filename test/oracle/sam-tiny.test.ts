/** SAM tiny against PyTorch, by every kind of training: logits, gradients and the steps of a real fine-tuning. */
import { test } from "node:test";
import { samConfig } from "../../src/models/sam/config.js";
import type { SamTraining } from "../../src/models/sam/network.js";
import { compareSamTraining } from "./sam-training.js";

const config = samConfig("tiny", 256, 3);
const lora: SamTraining = { kind: "lora", rank: 4, targets: ["q", "v"] };
const bounds = {
  // f32 rounding through the encoder and the decoder; f32 and f64 differ by 6e-7 in PyTorch.
  logits: 5e-6,
  // And back again; f32 and f64 differ by up to 4e-6 in PyTorch.
  gradients: 2e-5,
};

test("LoRA: logits, gradients and ten steps", () =>
  compareSamTraining("sam-tiny-lora", config, lora, bounds));

test("all weights: logits, gradients and ten steps", () =>
  compareSamTraining("sam-tiny-full", config, { kind: "all" }, bounds));

test("the mask decoder alone: logits, gradients and five steps", () =>
  compareSamTraining("sam-tiny-decoder", config, { kind: "decoder" }, bounds));

test("adapters: logits, gradients and five steps", () =>
  compareSamTraining("sam-tiny-adapter", config, { kind: "adapter", ratio: 0.25 }, bounds));

test("LoRA on a small-size canvas, smaller than a window: logits, gradients and five steps", () =>
  compareSamTraining("sam-tiny-lora-small", samConfig("tiny", 80, 3), lora, bounds));
