/** ViT-H with LoRA on a canvas of 1024 x 1024: what the plan takes, with and without a limit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { finetuneSettings } from "../../src/config/schema.js";
import { FinetuneStep } from "../../src/finetune/step.js";
import { samConfig } from "../../src/models/sam/config.js";
import { SamNetwork } from "../../src/models/sam/network.js";
import { configureEngine } from "../../src/native/native.js";

test("ViT-H trains within 13 GB, and within 7 GB when it computes values again", (t) => {
  using network = new SamNetwork(
    samConfig("vit_h", 1024, 2),
    { kind: "lora", rank: 4, targets: ["q", "v"] },
    1,
  );
  const peak = (memoryBytes: number) => {
    configureEngine({ memoryBytes });
    using step = new FinetuneStep(network, finetuneSettings.parse({}), 1);
    return step.explain().peakBytes;
  };
  const [free, limited] = [peak(0), peak(7e9)];
  t.diagnostic(`${(free / 1e9).toFixed(2)} GB, ${(limited / 1e9).toFixed(2)} GB with a limit`);
  assert.ok(free <= 13e9, `${free}`);
  assert.ok(limited <= 7e9, `${limited}`);
});
