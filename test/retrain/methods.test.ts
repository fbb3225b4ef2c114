/** Every method of the registry, as `retrain` runs it on phantoms: it learns, and goes on after a stop in the same bits. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { retrainSettings, segmenterSettings } from "../../src/config/schema.js";
import { generatePhantom } from "../../src/data/phantom.js";
import { type PreparedCase, prepareImage } from "../../src/data/prepare.js";
import { CancelledError } from "../../src/errors.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { Tensor } from "../../src/native/tensor.js";
import { type MethodName, methods } from "../../src/retrain/methods/index.js";
import { type PseudoLabelSource, type RetrainOptions, retrain } from "../../src/retrain/retrain.js";

const extents = [36, 26, 24] as const;
const steps = 9;
/** Enough for the cross-entropy to fall through the noise of crops and dropout, on every SIMD level. */
const learningSteps = 30;
/** 29 convolutions with norms (weight, bias, and four vectors and statistics of the norm), four heads. */
const vnetTensors = 29 * 6 + 4 * 2;
/** Not a multiple of checkpointEvery: what was done since the last checkpoint is saved by the stop itself. */
const stopAfter = 4;

async function phantom(index: number): Promise<PreparedCase> {
  const { id, image, label } = generatePhantom(index, 1, [...extents]);
  const shape = [extents[2], extents[1], extents[0]];
  return {
    id,
    ...(await prepareImage(image)),
    label: Tensor.from("u8", shape, Uint8Array.from(label.data)),
  };
}

describe("re-training methods", () => {
  let root = "";
  let cases: PreparedCase[] = [];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-methods-"));
    cases = await Promise.all([0, 1, 2, 3, 4, 5].map(phantom));
  });
  after(() => rm(root, { recursive: true }));

  function optionsOf(
    method: MethodName,
    withPseudoLabels: boolean,
    name: string,
    total = steps,
  ): RetrainOptions {
    // The phantoms' own labels stand for SAM's: what a method makes of pseudo-labels is looked at, not where they are from.
    const labels = new Map(cases.map(({ id, label }) => [id, label ?? assert.fail(id)]));
    const pseudoLabels: PseudoLabelSource = withPseudoLabels
      ? { kind: "per-volume", labels }
      : { kind: "none" };
    return {
      labelled: cases.slice(0, 2),
      unlabelled: cases.slice(2),
      classes: 3,
      // The released order of cubes needs as many along z as along x.
      patch: method === "magicnet-released" ? [32, 16, 32] : [32, 16, 16],
      segmenter: segmenterSettings.parse({ filters: 2 }),
      settings: retrainSettings.parse({ steps: total, learningRate: 0.05, consistency: 1 }),
      method,
      pseudoLabels,
      seed: 3,
      checkpointEvery: 3,
      checkpointPath: join(root, `${name}-checkpoint.safetensors`),
      weightsPath: join(root, `${name}.safetensors`),
    };
  }

  /**
   * Trains to the end; returns the cross-entropy of each step and the bytes of the weights, which are those of the network
   * alone, whatever heads and networks a method adds.
   */
  async function train(options: RetrainOptions): Promise<{ losses: number[]; weights: Buffer }> {
    const losses: number[] = [];
    await retrain(options, {
      onStep(_, record) {
        for (const [name, value] of Object.entries(record)) assert.ok(Number.isFinite(value), name);
        losses.push(record.crossEntropy ?? assert.fail("crossEntropy is not recorded"));
      },
    });
    const { tensors } = await readSafetensors(options.weightsPath);
    assert.equal(tensors.size, vnetTensors);
    return { losses, weights: await readFile(options.weightsPath) };
  }

  const all = Object.entries(methods) as [MethodName, (typeof methods)[MethodName]][];
  for (const [method, { names }] of all) {
    // Pseudo-labels make no difference to stopping, so one arm of a method is stopped.
    const stopped = names.sam === undefined ? "none" : "sam";
    it(`${method}, pseudo-labels ${stopped}: resumes`, async () => {
      const whole = await train(optionsOf(method, stopped === "sam", method));
      const options = optionsOf(method, stopped === "sam", `${method}-resumed`);
      const stop = new AbortController();
      const stopping = {
        onStep: (t: number) => {
          if (t + 1 === stopAfter) stop.abort();
        },
      };
      await assert.rejects(retrain(options, stopping, stop.signal), CancelledError);
      const resumed = await train(options);
      assert.deepEqual(resumed.losses, whole.losses.slice(stopAfter));
      assert.ok(
        resumed.weights.equals(whole.weights),
        "other bits than those of the run that was not stopped",
      );
    });
    for (const kind of ["none", "sam"] as const) {
      if (names[kind] === undefined) continue;
      it(`${method}, pseudo-labels ${kind}: learns`, async () => {
        const { losses } = await train(optionsOf(method, kind === "sam", `${method}-${kind}`, learningSteps));
        const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
        const [first, last] = [mean(losses.slice(0, 6)), mean(losses.slice(-6))];
        // It falls to between 0.4 and 0.75 of what it was.
        assert.ok(last < 0.95 * first, `cross-entropy: ${first} at first, ${last} in the end`);
      });
    }
  }
});
