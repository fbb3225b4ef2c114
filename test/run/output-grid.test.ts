import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gridFromAffine } from "../../src/data/orientation.js";
import type { Affine } from "../../src/data/volume.js";
import { halvedGrid } from "../../src/run/output-grid.js";

/** The file's x runs to the front, its y to the left. */
const affine: Affine = [
  [0, -2, 0, 10],
  [3, 0, 0, 20],
  [0, 0, 4, 30],
  [0, 0, 0, 1],
];

describe("halvedGrid", () => {
  it("doubles the steps and puts the origin at the middle of the first block", () => {
    const grid = gridFromAffine(affine, [4, 5, 3]);
    // In memory x runs to the right: 5 voxels of 2 mm from 10 - 4 * 2 on.
    const half = halvedGrid({ shape: [5, 4, 3], spacing: [2, 3, 4], grid });
    assert.deepEqual(half.shape, [2, 2, 1]);
    assert.deepEqual(half.spacing, [4, 6, 8]);
    // Voxel (0, 0, 0) of the half grid lies at (0.5, 0.5, 0.5) of the old one: 2 + 2/2, 20 + 3/2, 30 + 4/2.
    assert.deepEqual(half.grid?.affine, [
      [4, 0, 0, 3],
      [0, 6, 0, 21.5],
      [0, 0, 8, 32],
      [0, 0, 0, 1],
    ]);
    assert.deepEqual(half.grid?.orientation, { axes: [1, 0, 2], flips: [true, false, false] });
  });

  it("needs no grid", () => {
    assert.deepEqual(halvedGrid({ shape: [4, 4, 4], spacing: null }), { shape: [2, 2, 2], spacing: null });
  });
});
