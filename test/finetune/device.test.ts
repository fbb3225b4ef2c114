/** SAM's precision on a device, the launch shim in the place of a card. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { finetuneSettings } from "../../src/config/schema.js";
import { FinetuneStep } from "../../src/finetune/step.js";
import { samConfig } from "../../src/models/sam/config.js";
import { SamNetwork } from "../../src/models/sam/network.js";
import { skipWithoutShim as skip, useDevice } from "../shim.js";

/** Types of what the attention of SAM's blocks gives. */
function attentionTypes(precision: "f32" | "bf16", device: "cpu" | "shim"): Set<string | undefined> {
  useDevice(device);
  const lora = { kind: "lora", rank: 4, targets: ["q", "v"] } as const;
  using network = new SamNetwork(samConfig("tiny", 128, 3), lora, 1, { precision });
  using step = new FinetuneStep(network, finetuneSettings.parse({}), 1);
  const { nodes } = step.explain();
  return new Set(
    nodes.filter(({ op }) => op === "grid_attention").map((node) => node.outputs[0]?.split("[")[0]),
  );
}

test("precision bf16 stores SAM's activations so on a device, and on no CPU", { skip }, () => {
  assert.deepEqual(attentionTypes("bf16", "shim"), new Set(["bf16"]));
  assert.deepEqual(attentionTypes("f32", "shim"), new Set(["f32"]));
  assert.deepEqual(attentionTypes("bf16", "cpu"), new Set(["f32"]));
});
