/** Steps of the re-training methods on a device, the launch shim in the place of a card, against those of the CPU. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { retrainSettings, segmenterSettings } from "../../src/config/schema.js";
import type { Precision } from "../../src/native/native.js";
import { type MethodName, methods } from "../../src/retrain/methods/index.js";
import { RetrainStep } from "../../src/retrain/step.js";
import { checkerLabel, image } from "../oracle/inputs.js";
import { skipWithoutShim as skip, useDevice } from "../shim.js";

/** Methods with ops that other steps have not, by how many crops they need: distance maps, components, label noise. */
const withOpsOfTheirOwn = { dtc: 1, bcp: 2, "acmt-serr": 1 } as const;

/** The step of a method on crops of 16 x 16 x 16 voxels, as small as the networks take them. */
function describeStep(
  method: MethodName,
  device: "cpu" | "shim",
  crops: number,
  precision: Precision = "f32",
): RetrainStep {
  useDevice(device);
  const step = new RetrainStep({
    method: methods[method],
    segmenter: segmenterSettings.parse({ filters: 1 }),
    settings: retrainSettings.parse({ steps: 10, labelledBatch: crops, unlabelledBatch: crops }),
    classes: 3,
    patch: [16, 16, 16],
    pseudoLabels: methods[method].names.none === undefined,
    precision,
    seed: 1,
  });
  const labels = checkerLabel([2 * crops, 16, 16, 16], 3, 4);
  const images = image("volume", labels, [2 * crops, 1, 16, 16, 16]);
  step.batch.images.f32.set(images.subarray(0, step.batch.images.count));
  step.batch.labels.u8.set(labels.subarray(0, step.batch.labels.count));
  step.batch.pseudoLabels?.u8.set(labels.subarray(0, step.batch.pseudoLabels.count));
  return step;
}

describe("re-training methods on a device", { skip }, () => {
  after(() => useDevice("cpu"));

  it("have a kernel for every op of their steps", () => {
    for (const method of Object.keys(methods) as MethodName[]) {
      using step = describeStep(method, "shim", 2);
      assert.equal(step.explain().device, "shim:0 launch shim");
    }
  });

  for (const [method, crops] of Object.entries(withOpsOfTheirOwn) as [
    keyof typeof withOpsOfTheirOwn,
    number,
  ][])
    it(`${method}: the losses of a step are those of the CPU`, async () => {
      using here = describeStep(method, "cpu", crops);
      using there = describeStep(method, "shim", crops);
      // Half of a training is behind a method's warm-up.
      const [expected, received] = [await here.run(5), await there.run(5)];
      assert.deepEqual(Object.keys(received), Object.keys(expected));
      for (const [name, loss] of Object.entries(expected)) {
        const off = Math.abs((received[name] ?? Number.NaN) - loss);
        // Sums run in another order, so a voxel at the edge of a choice may fall to its other side: 1 of 4096.
        assert.ok(off <= 1e-3 * Math.max(1, Math.abs(loss)), `${name}: ${received[name]} of ${loss}`);
      }
    });

  it("precision bf16 stores activations so, where the CPU lets them wait so", async () => {
    using here = describeStep("labelled-only", "cpu", 1, "bf16");
    using there = describeStep("labelled-only", "shim", 1, "bf16");
    const [onCpu, onDevice] = [here, there].map((step) => step.explain().nodes);
    const volumes = (nodes = onCpu) =>
      nodes?.filter(({ op }) => op === "conv3d").map(({ outputs }) => outputs[0]?.slice(0, 4));
    assert.deepEqual(new Set(volumes(onCpu)), new Set(["f32["]));
    assert.deepEqual(new Set(volumes(onDevice)), new Set(["bf16"]));
    assert.ok(onDevice?.every(({ op }) => op !== "round_bf16"));
    const [expected, received] = [await here.run(0), await there.run(0)];
    // A layer rounds by 2^-9 of a value; the mean over voxels of what thirty of them do to a loss is less.
    const off = Math.abs((received.loss ?? Number.NaN) / (expected.loss ?? Number.NaN) - 1);
    assert.ok(off > 0 && off < 0.01, `${received.loss} of ${expected.loss}`);
  });
});
