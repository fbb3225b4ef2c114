import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { makeGrid } from "../../src/data/nifti-header.js";
import type { Affine } from "../../src/data/volume.js";
import { halvedGrid } from "../../src/run/output-grid.js";

const affine: Affine = [
  [0, -2, 0, 10],
  [3, 0, 0, 20],
  [0, 0, 4, 30],
  [0, 0, 0, 1],
];

describe("halvedGrid", () => {
  it("doubles the steps and puts the origin at the middle of the first block", () => {
    const shape = [5, 4, 3] as const;
    const spacing = [3, 2, 4] as const;
    const half = halvedGrid({ shape, spacing, grid: makeGrid({ shape, spacing, affine }) });
    assert.deepEqual(half.shape, [2, 2, 1]);
    assert.deepEqual(half.spacing, [6, 4, 8]);
    // Voxel (0, 0, 0) of the half grid lies at (0.5, 0.5, 0.5) of the old one: 10 - 2/2, 20 + 3/2, 30 + 4/2.
    assert.deepEqual(half.grid?.affine, [
      [0, -4, 0, 9],
      [6, 0, 0, 21.5],
      [0, 0, 8, 32],
      [0, 0, 0, 1],
    ]);
  });

  it("turns a header in metres into mm, and needs no grid", () => {
    const shape = [4, 4, 4] as const;
    const grid = makeGrid({ shape, spacing: [1, 1, 1], affine });
    grid.header[123] = 1;
    const half = halvedGrid({ shape, spacing: [3000, 2000, 4000], grid });
    assert.deepEqual(half.grid?.affine[1], [6000, 0, 0, 21500]);
    assert.deepEqual(halvedGrid({ shape, spacing: null }), { shape: [2, 2, 2], spacing: null });
  });
});
