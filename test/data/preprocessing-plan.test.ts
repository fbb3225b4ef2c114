import assert from "node:assert/strict";
import { test } from "node:test";
import { preprocessSettings } from "../../src/config/schema.js";
import { prepareImage } from "../../src/data/prepare.js";
import { largestGeometry, makePlan, plainPlan, planGeometry } from "../../src/data/preprocessing-plan.js";
import type { ImageVolume, Vec3 } from "../../src/data/volume.js";

const settings = (values: object) => preprocessSettings.parse(values);

/** Air of -1000 around a body of 40. */
function body(shape: Vec3, spacing: Vec3 | null, begin: Vec3, end: Vec3): ImageVolume {
  const data = new Float32Array(shape[0] * shape[1] * shape[2]).fill(-1000);
  for (let z = begin[2]; z < end[2]; z++)
    for (let y = begin[1]; y < end[1]; y++)
      for (let x = begin[0]; x < end[0]; x++) data[(z * shape[1] + y) * shape[0] + x] = 40;
  return { shape, spacing, data };
}

test("the median spacing is that of each axis over cases that have one", () => {
  const grids = [[0.7, 0.7, 5], [0.8, 0.9, 1], [0.9, 0.8, 3], null].map((spacing) => ({
    shape: [4, 4, 4] as Vec3,
    spacing: spacing as Vec3 | null,
  }));
  assert.deepEqual(makePlan(settings({ spacing: "median" }), false, grids).spacing, [0.8, 0.8, 3]);
  assert.deepEqual(
    makePlan(settings({ spacing: "median" }), false, grids.slice(0, 2)).spacing,
    [0.75, 0.8, 3],
  );
  assert.throws(() => makePlan(settings({ spacing: "median" }), false, grids.slice(3)), {
    name: "DataError",
    message: /expected training cases with a spacing .* received none/,
  });
  assert.deepEqual(makePlan(settings({}), false, []), plainPlan);
});

test("settings that do not go together are refused", () => {
  assert.throws(
    () => makePlan(settings({ window: [250, -175] }), false, []),
    /window: .* received 250, -175/,
  );
  assert.throws(() => makePlan(settings({ minimumSlices: 9 }), true, []), /data\.halve: expected false/);
});

test("crop, margin in mm, spacing and slices decide what is seen", () => {
  const image = body([20, 18, 10], [1, 2, 4], [5, 3, 2], [15, 9, 7]);
  const plan = makePlan(settings({ cropAbove: -500, cropMargin: 3 }), false, []);
  const { crop, shape, source } = planGeometry(plan, image, "a");
  assert.deepEqual(crop, { begin: [2, 1, 1], shape: [16, 10, 7] });
  assert.deepEqual(shape, [16, 10, 7]);
  assert.deepEqual(source, { shape: [20, 18, 10], spacing: [1, 2, 4] });
  const resampled = planGeometry({ ...plan, spacing: [2, 1, 4.4], minimumSlices: 9 }, image, "a");
  // 16 mm at 2, 20 mm at 1; 28 mm at 4.4 would be 6 slices.
  assert.deepEqual(resampled.shape, [8, 20, 9]);
  // Without the voxels the crop is not known: the whole volume is the bound.
  assert.deepEqual(largestGeometry({ ...plan, spacing: [2, 1, 4.4] }, image, "a").shape, [10, 36, 9]);
  // The margin ends at the border.
  const wide = planGeometry({ ...plan, cropMargin: 100 }, image, "a");
  assert.deepEqual(wide.crop, { begin: [0, 0, 0], shape: [20, 18, 10] });
});

test("a case that does not fit the plan is refused by name", () => {
  const image = body([4, 4, 4], null, [0, 0, 0], [0, 0, 0]);
  assert.throws(() => planGeometry({ ...plainPlan, cropAbove: -500 }, image, "p7"), {
    name: "DataError",
    message: /case 'p7': expected voxels above -500 .* received none/,
  });
  assert.throws(() => planGeometry({ ...plainPlan, spacing: [1, 1, 1] }, image, "p7"), {
    name: "DataError",
    message: /case 'p7': expected a voxel size to resample from/,
  });
});

test("window and z-score look at what is seen", async () => {
  const image = body([6, 6, 6], null, [1, 1, 1], [5, 5, 5]);
  // Along x, above, inside, inside and below the window.
  const row = [240, 90, 90, -200];
  for (let z = 1; z < 5; z++)
    for (let y = 1; y < 5; y++)
      for (const [x, value] of row.entries()) image.data[(z * 6 + y) * 6 + 1 + x] = value;
  const plan = makePlan(settings({ cropAbove: -500, window: [40, 140] }), false, []);
  const { image: seen } = await prepareImage(image, plan);
  using _ = seen;
  assert.deepEqual(seen.shape, [4, 4, 4]);
  // Of 140, 90, 90, 40: mean 90, deviation 50 / sqrt(2). One rounding to f32.
  const expected = [Math.SQRT2, 0, 0, -Math.SQRT2].map(Math.fround);
  for (let i = 0; i < 64; i++) assert.equal(seen.f32[i], expected[i % 4]);
});
