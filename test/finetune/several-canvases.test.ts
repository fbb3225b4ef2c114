/** A patch with more slices than tiles fit: it goes on several canvases, in fine-tuning and in labelling. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { configSchema, type Voxels } from "../../src/config/schema.js";
import { finetune } from "../../src/finetune/finetune.js";
import { SamLabeller } from "../../src/finetune/sam-labeller.js";
import { Tensor } from "../../src/native/tensor.js";
import { phantomCase } from "../retrain/phantom-case.js";

test("a patch on three canvases is labelled as its thirds are on one", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "sfr-canvases-"));
  t.after(() => rm(folder, { recursive: true }));
  const weightsPath = join(folder, "sam.safetensors");
  const entry = await phantomCase(0, [24, 24, 48]);
  // 16 tiles of 16 x 16 pixels fit a canvas of 64 x 64; the patch has 48 slices.
  const patch: Voxels = [16, 16, 48];
  const { sam, finetune: settings } = configSchema.parse({
    ...{ name: "a", data: { root: "x", labelled: 1 }, patch, arms: [{ method: "sam" }] },
    sam: { size: "tiny", canvas: 64 },
    // A low rate leaves a SAM that says something else than background.
    finetune: { steps: 2, batch: 1, learningRate: 1e-5 },
  });
  await finetune({
    cases: [entry],
    classes: 3,
    ...{ patch, sam, settings, seed: 1, checkpointEvery: 10, weightsPath },
    checkpointPath: join(folder, "checkpoint.safetensors"),
    checkpointHash: null,
  });
  assert.ok(existsSync(weightsPath));

  const crop = Tensor.zeros("f32", [1, 48, 16, 16]);
  for (let z = 0; z < 48; z++)
    for (let y = 0; y < 16; y++) {
      const row = entry.image.f32.subarray((z * 24 + y) * 24, (z * 24 + y) * 24 + 16);
      crop.f32.set(row, (z * 16 + y) * 16);
    }
  using whole = await SamLabeller.load(weightsPath, { sam, classes: 3, patch });
  assert.equal(whole.plan.geometry.canvases, 3);
  using labels = await whole.labelCrops(crop);
  assert.ok(new Set(labels.u8).size > 1, "one class alone proves nothing");
  using part = await SamLabeller.load(weightsPath, { sam, classes: 3, patch: [16, 16, 16] });
  assert.equal(part.plan.geometry.canvases, 1);
  const size = 16 ** 3;
  using thirds = Tensor.from("f32", [3, 16, 16, 16], crop.f32);
  using expected = await part.labelCrops(thirds);
  for (const third of [0, 1, 2])
    assert.deepEqual(
      labels.u8.subarray(third * size, (third + 1) * size),
      expected.u8.subarray(third * size, (third + 1) * size),
    );
  crop.dispose();
});
