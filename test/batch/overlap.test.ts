import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { runBatch } from "../../src/batch/batch.js";
import { findCases } from "../../src/batch/cases.js";
import type { BatchModel } from "../../src/batch/model.js";
import { plainPlan } from "../../src/data/preprocessing-plan.js";
import { Progress } from "../../src/io/progress.js";
import { Tensor } from "../../src/native/tensor.js";
import { Locator } from "../../src/predict/locator.js";
import type { WindowModel } from "../../src/predict/window-model.js";
import { writeVolumes } from "./tiny-model.js";

/** A network that sees each volume of writeVolumes() as one window, and background in it. */
function oneWindow(work: () => Promise<void>): WindowModel & { busySeconds: number } {
  const result = Tensor.zeros("f32", [1, 16, 16, 16, 2]);
  for (let voxel = 0; voxel < result.count / 2; voxel++) result.f32[2 * voxel] = 1;
  const network: WindowModel & { busySeconds: number } = {
    ...{
      channels: 1,
      classes: 2,
      patch: [16, 16, 16],
      usualStride: [8, 8, 8],
      addedBytes: 0,
      busySeconds: 0,
    },
    logits: async () => {
      const start = performance.now();
      await work();
      network.busySeconds += (performance.now() - start) / 1000;
      return result;
    },
    [Symbol.dispose]: () => result.dispose(),
  };
  return network;
}

// A pipeline in which these wait for each other would stand still.
test("while a case is on the engine the next is read and the one before finished and written", {
  timeout: 30_000,
}, async () => {
  const root = await mkdtemp(join(tmpdir(), "sfr-overlap-"));
  try {
    const ids = await writeVolumes(join(root, "in"), 5);
    const isWritten = (id: string | undefined) =>
      id === undefined || existsSync(join(root, "out", `${id}.nii.gz`));
    const stages = { read: 0, inferred: 0 };
    // A locator sees volumes when they are decoded.
    const locating = oneWindow(async () => {
      stages.read++;
    });
    using locator = new Locator(locating, { plan: plainPlan });
    using network = oneWindow(async () => {
      const index = stages.inferred++;
      assert.ok(index === 0 || !isWritten(ids[index - 1]), "the engine waited for the case before");
      const isAlone = () => stages.read < Math.min(index + 2, ids.length) || !isWritten(ids[index - 1]);
      while (isAlone()) await setTimeout(1);
    });
    const model: BatchModel = {
      ...{ network, locator, seesAll: true, hash: "0", title: "network" },
      card: {
        ...{ labelIds: [0, 1], labelNames: {}, labelColors: {}, channels: 1, samChannel: 0 },
        plan: { ...plainPlan, locator: { sha256: "0" } },
      },
    };
    const { labelled, seconds, inferring, busy } = await runBatch({
      cases: await findCases([join(root, "in")]),
      out: join(root, "out"),
      model,
      settings: {
        ...{ frame: null, stride: null, weighting: "uniform", mirror: false, maps: "none" },
        post: { largestComponent: false, fillHoles: false, minVolume: null },
      },
      ...{ review: false, title: "batch", progress: new Progress({ quiet: true }) },
    });
    assert.equal(labelled, ids.length);
    // Of all that the engine worked nothing lies outside of the time that it is held against.
    assert.ok(Math.abs(busy - network.busySeconds) < 1e-9, `${busy} of ${network.busySeconds} s`);
    assert.ok(busy > 0 && busy <= inferring && inferring <= seconds, `${busy}, ${inferring}, ${seconds} s`);
  } finally {
    await rm(root, { recursive: true });
  }
});
