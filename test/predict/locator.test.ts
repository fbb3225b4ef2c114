import assert from "node:assert/strict";
import { test } from "node:test";
import { type Box, boxInFile } from "../../src/data/case-geometry.js";
import { prepareChannels } from "../../src/data/prepare.js";
import { type PreprocessingPlan, plainPlan, planGeometry } from "../../src/data/preprocessing-plan.js";
import type { ImageVolume, Vec3 } from "../../src/data/volume.js";
import { Tensor } from "../../src/native/tensor.js";
import { Locator } from "../../src/predict/locator.js";
import type { WindowModel } from "../../src/predict/window-model.js";

const shape: Vec3 = [40, 36, 48];
const entry = { id: "a", image: "a.nii" };

/** 1 in a box of zeros, voxels of 1 x 1 x 0.5 mm. */
function boxImage({ begin, shape: extents }: Box): ImageVolume {
  const [width, height, depth] = shape;
  const data = new Float32Array(width * height * depth);
  for (let z = 0; z < extents[2]; z++)
    for (let y = 0; y < extents[1]; y++)
      for (let x = 0; x < extents[0]; x++)
        data[((begin[2] + z) * height + begin[1] + y) * width + begin[0] + x] = 1;
  return { shape, data, spacing: [1, 1, 0.5] };
}

/** A network that calls foreground what is far above the mean. */
function brightness(): WindowModel {
  const patch: Vec3 = [8, 8, 8];
  const result = Tensor.zeros("f32", [1, 8, 8, 8, 2]);
  return {
    ...{ channels: 1, classes: 2, patch, usualStride: [4, 4, 4], addedBytes: 0, busySeconds: 0 },
    logits: async (window) => {
      // A box of half a percent of the volume has a z-score of 14, and half of its edge 7.
      for (const [i, value] of window.f32.entries()) result.f32[2 * i + 1] = value > 5 ? 9 : -9;
      return result;
    },
    [Symbol.dispose]: () => result.dispose(),
  };
}

const coarse: PreprocessingPlan = { ...plainPlan, spacing: [4, 4, 4] };

test("finds a box on a coarse grid, in voxels of the file", async () => {
  using locator = new Locator(brightness(), { plan: coarse });
  const box: Box = { begin: [12, 8, 16], shape: [8, 4, 16] };
  assert.deepEqual(await locator.locate([boxImage(box)], entry), box);
  // Behind a crop of its own, which begins where the box does and ends with it.
  using cropped = new Locator(brightness(), { plan: { ...coarse, cropAbove: 0.5, cropMargin: 8 } });
  assert.deepEqual(await cropped.locate([boxImage(box)], entry), box);
});

test("a plan crops to what is found, with its margin, and to the whole where nothing is", async () => {
  using locator = new Locator(brightness(), { plan: coarse });
  const plan = { ...plainPlan, locator: { sha256: "0" }, cropMargin: 6 };
  const prepared = async (box: Box) => {
    const { channels, geometry } = await prepareChannels(entry, [boxImage(box)], {
      plan,
      locate: locator.locate,
    });
    for (const channel of channels) channel.dispose();
    return geometry.crop;
  };
  // 6 mm are 6 voxels along x and y and 12 along z; y ends at the volume's face.
  assert.deepEqual(await prepared({ begin: [12, 28, 16], shape: [8, 4, 16] }), {
    begin: [6, 22, 4],
    shape: [20, 14, 40],
  });
  const whole: Box = { begin: [0, 0, 0], shape };
  assert.deepEqual(await prepared({ begin: [0, 0, 0], shape: [0, 0, 0] }), whole);
  assert.deepEqual(planGeometry(plan, boxImage(whole), "a").crop, whole);
  await assert.rejects(prepareChannels(entry, [boxImage(whole)], { plan }), {
    name: "UsageError",
    message: /case 'a': expected the locator that the plan crops by, received none/,
  });
});

test("a box that a network sees lies in all voxels of the file that it touches", () => {
  const source = { shape, spacing: null };
  const geometry = { source, crop: { begin: [3, 0, 10], shape: [30, 10, 7] }, shape: [10, 10, 14] } as const;
  const box: Box = { begin: [2, 3, 5], shape: [4, 1, 4] };
  assert.deepEqual(boxInFile(box, { ...geometry, restores: true }), { begin: [9, 3, 12], shape: [12, 1, 3] });
});
