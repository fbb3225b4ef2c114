/** Every method of the registry, as `retrain` runs it on phantoms: it learns, and goes on after a stop in the same bits. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { retrainSettings, segmenterSettings, type Voxels } from "../../src/config/schema.js";
import { Cropper } from "../../src/data/augment.js";
import type { PreparedCase } from "../../src/data/prepare.js";
import { CancelledError } from "../../src/errors.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { Tensor } from "../../src/native/tensor.js";
import { type MethodName, methods } from "../../src/retrain/methods/index.js";
import { type PseudoLabelSource, type RetrainOptions, retrain } from "../../src/retrain/retrain.js";
import { phantomCase } from "./phantom-case.js";

const steps = 10;
/** 29 convolutions with norms (weight, bias, and four vectors and statistics of the norm), four heads. */
const vnetTensors = 29 * 6 + 4 * 2;
/** Not a multiple of checkpointEvery: what was done since the last checkpoint is saved by the stop itself. */
const stopAfter = 4;

/**
 * The middle of a phantom, one voxel larger than a patch: a crop without turns has one place, so that all steps see the
 * same crops and the losses fall from the first step on.
 */
async function middleCase(index: number, patch: Voxels): Promise<PreparedCase> {
  const whole = await phantomCase(index, [36, 26, 36]);
  const extents: Voxels = [patch[0] + 1, patch[1] + 1, patch[2] + 1];
  using cropper = new Cropper(extents);
  const middle = async (volume: Tensor | undefined) => {
    if (volume === undefined) return undefined;
    const [z = 0, y = 0, x = 0] = volume.shape;
    const corner = [x, y, z].map((extent, axis) => Math.floor((extent - (extents[axis] ?? 0)) / 2));
    const part = Tensor.zeros(volume.dtype, [extents[2], extents[1], extents[0]]);
    await cropper.into(part, 0, volume, {
      corner: [corner[0] ?? 0, corner[1] ?? 0, corner[2] ?? 0],
      turns: 0,
      flip: 0,
    });
    return part;
  };
  const image = (await middle(whole.image)) ?? whole.image;
  return { ...whole, image, channels: [image], label: await middle(whole.label) };
}

describe("re-training methods", () => {
  let root = "";
  const casesOf = new Map<string, Promise<PreparedCase[]>>();
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-methods-"));
  });
  after(() => rm(root, { recursive: true }));

  async function optionsOf(
    method: MethodName,
    withPseudoLabels: boolean,
    name: string,
  ): Promise<RetrainOptions> {
    // The released order of cubes needs as many along z as along x.
    const patch: Voxels = method === "magicnet-released" ? [32, 16, 32] : [32, 16, 16];
    const made =
      casesOf.get(String(patch)) ?? Promise.all([0, 1, 2, 3].map((index) => middleCase(index, patch)));
    casesOf.set(String(patch), made);
    const cases = await made;
    // The phantoms' own labels stand for SAM's: what a method makes of pseudo-labels is looked at, not where they are from.
    const labels = new Map(cases.map(({ id, label }) => [id, label ?? assert.fail(id)]));
    const pseudoLabels: PseudoLabelSource = withPseudoLabels
      ? { kind: "per-volume", labels }
      : { kind: "none" };
    return {
      labelled: cases.slice(0, 2),
      unlabelled: cases.slice(2),
      classes: 3,
      patch,
      // Little dropout: half of so few channels would leave noise where learning is looked for.
      segmenter: segmenterSettings.parse({ filters: 2, dropout: 0.1 }),
      settings: retrainSettings.parse({ steps, learningRate: 0.1, consistency: 1, rotateCrops: false }),
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

  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

  for (const [method, { names }] of Object.entries(methods) as [MethodName, (typeof methods)[MethodName]][]) {
    // Pseudo-labels make no difference to stopping, so one arm of a method is stopped.
    const stopped = names.sam === undefined ? "none" : "sam";
    for (const kind of ["none", "sam"] as const) {
      if (names[kind] === undefined) continue;
      it(`${method}, pseudo-labels ${kind}: learns${kind === stopped ? ", and resumes" : ""}`, async () => {
        const whole = await train(await optionsOf(method, kind === "sam", `${method}-${kind}`));
        const [first, last] = [mean(whole.losses.slice(0, 2)), mean(whole.losses.slice(-2))];
        assert.ok(last < 0.95 * first, `cross-entropy: ${first} at first, ${last} in the end`);
        if (kind !== stopped) return;
        const options = await optionsOf(method, kind === "sam", `${method}-resumed`);
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
    }
  }
});
