/** The whole of SAM's vit_b with LoRA against PyTorch on small canvases: logits, gradients and five steps. */
import { test } from "node:test";
import { samConfig } from "../../src/models/sam/config.js";
import { compareSamTraining } from "./sam-training.js";

const bounds = {
  // f32 rounding through twelve blocks and the decoder; f32 and f64 differ by 5e-7 in PyTorch.
  logits: 5e-6,
  // And back again; f32 and f64 differ by up to 3e-6 in PyTorch, the engine by up to 7e-6 from it.
  gradients: 2e-5,
};

test("vit_b with LoRA: logits, gradients and five steps", () =>
  compareSamTraining(
    "vit-b-lora",
    samConfig("vit_b", 256, 3),
    { kind: "lora", rank: 4, targets: ["q", "v"] },
    bounds,
  ));
