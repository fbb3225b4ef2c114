/**
 * What a straightforward port of the methods' code gets wrong, each with a test that fails without its handling. Others
 * show in the five steps of test/oracle/methods.test.ts: batch-norm statistics of the passes of UA-MT and ACMT-MU, ln K for
 * K = 3, the shapes of ACMT-PErr and SErr, statistics that SS-Net's adversarial passes leave alone, BCP's constant decay.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type RetrainSettings, retrainSettings, segmenterSettings } from "../../src/config/schema.js";
import { ignoredClass } from "../../src/data/label-table.js";
import { BatchSampler } from "../../src/data/sampler.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { type MethodName, methods } from "../../src/retrain/methods/index.js";
import { RetrainStep } from "../../src/retrain/step.js";

const classes = 3;

/** A step of a method on noise, its head's bias as given. */
function stepOf(
  method: MethodName,
  change: Partial<RetrainSettings> & { bias?: readonly number[]; patch?: [number, number, number] } = {},
): RetrainStep {
  const { bias, patch = [32, 16, 16], ...settings } = change;
  const isMagic = method === "magicnet";
  const step = new RetrainStep({
    method: methods[method],
    segmenter: segmenterSettings.parse({
      ...{ filters: 2, dropout: 0 },
      ...(isMagic ? { model: "magicnet" } : {}),
    }),
    settings: retrainSettings.parse({ steps: 10, learningRate: 0.01, consistency: 1, ...settings }),
    ...{ classes, patch, pseudoLabels: false, seed: 1 },
  });
  step.batch.images.f32.forEach((_, i, all) => {
    all[i] = Math.sin(i * i);
  });
  step.batch.labels.u8.forEach((_, i, all) => {
    all[i] = (i >> 3) % classes;
  });
  if (bias !== undefined)
    for (const weights of step.networks.values()) {
      weights.get("out_conv.weight").f32.fill(0);
      weights.get("out_conv.bias").f32.set(bias);
    }
  return step;
}

function assertFinite(record: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(record)) assert.ok(Number.isFinite(value), `${name}: ${value}`);
}

describe("traps", () => {
  it("n_l below the labelled batch: the sampler repeats cases", () => {
    const sampler = new BatchSampler(1, 2, 1, "labelled", true);
    assert.deepEqual(
      [sampler.at(0), sampler.at(7)],
      [
        [0, 0],
        [0, 0],
      ],
    );
  });

  it("UA-MT: where the teacher is certain nowhere, consistency is 0 and not 0 / 0", async () => {
    using step = stepOf("ua-mt", { bias: [0, 0, 0] });
    const record = await step.run(0);
    assertFinite(record);
    assert.deepEqual([record.certainShare, record.consistency], [0, 0]);
  });

  it("ACMT: where nothing is ambiguous, consistency is 0 and not 0 / 0", async () => {
    for (const method of ["acmt-ent", "acmt-mu"] as const) {
      using step = stepOf(method, { bias: [40, 0, 0] });
      const record = await step.run(0);
      assertFinite(record);
      assert.deepEqual([record.ambiguousShare, record.consistency], [0, 0]);
    }
  });

  it("DTC: distance maps learn nothing where voxels are ignored", async () => {
    using step = stepOf("dtc");
    step.batch.labels.u8.fill(ignoredClass);
    const { distance, crossEntropy, dice } = await step.run(0);
    assert.deepEqual([distance, crossEntropy, dice], [0, 0, 0]);
  });

  it("ACMT (SErr): a student of one class alone is compared everywhere", async () => {
    using step = stepOf("acmt-serr", { bias: [40, 0, 0] });
    const record = await step.run(0);
    assertFinite(record);
    assert.equal(record.ambiguousShare, 1);
  });

  it("URPC: a probability of 0 leaves losses and gradients finite", async () => {
    using step = stepOf("urpc");
    // One scale gives a class no probability in f32, the others do.
    step.student.get("out_conv_dp2.weight").f32.fill(0);
    step.student.get("out_conv_dp2.bias").f32.set([200, -200, 0]);
    assertFinite(await step.run(0));
    const { data } = step.state().get("student/block_one.conv.0.weight") ?? assert.fail("no weight");
    assert.ok(Array.from(data, Number).every(Number.isFinite));
  });

  it("MagicNet: the cubes of every unlabelled crop count, also with fewer labelled ones", async () => {
    const location = async (order: readonly [number, number]) => {
      using step = stepOf("magicnet", { labelledBatch: 1, patch: [64, 32, 32] });
      const { f32 } = step.batch.images;
      const size = f32.length / 3;
      const crops = [1, 2].map((i) => f32.slice(i * size, (i + 1) * size));
      for (const [place, i] of order.entries()) f32.set(crops[i] ?? [], (1 + place) * size);
      return (await step.run(0)).location ?? Number.NaN;
    };
    const [there, swapped] = [await location([0, 1]), await location([1, 0])];
    // A mean of the same three numbers.
    assert.ok(Math.abs(there - swapped) < 1e-6 * there, `${there}, ${swapped}`);
  });

  it("MagicNet: the class prior is counted anew every 20 steps, from these 20 alone", async () => {
    using step = stepOf("magicnet", {
      labelledBatch: 1,
      unlabelledBatch: 1,
      patch: [64, 32, 32],
      steps: 1400,
    });
    const voxels = 64 * 32 * 32;
    const counted = () => {
      const prior = step.state().get("memory/prior") ?? assert.fail("no prior");
      return toFloat32(prior).reduce((sum, n) => sum + n, 0) / voxels;
    };
    const totals: number[] = [];
    for (let t = 0; t <= 20; t++) {
      await step.run(t);
      totals.push(counted());
    }
    assert.deepEqual(totals, [...new Array<number>(20).fill(1), 20]);
  });
});
