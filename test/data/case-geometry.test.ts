import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type CaseGeometry,
  isWhole,
  resultGrid,
  wholeGeometry,
  workingGrid,
} from "../../src/data/case-geometry.js";
import { column, gridFromAffine, stepLengths } from "../../src/data/orientation.js";
import { plainPlan, planGeometry } from "../../src/data/preprocessing-plan.js";
import { add, scale } from "../../src/data/vectors.js";
import type { Affine, Vec3 } from "../../src/data/volume.js";
import { RandomStream } from "../../src/graph/random.js";

/** The file's x runs to the front, its y to the left. */
const affine: Affine = [
  [0, -2, 0, 10],
  [3, 0, 0, 20],
  [0, 0, 4, 30],
  [0, 0, 0, 1],
];

const half = { ...plainPlan, halve: true };
const empty = (shape: Vec3) => new Float32Array(shape[0] * shape[1] * shape[2]);

describe("workingGrid", () => {
  it("doubles the steps of half resolution and puts the origin at the middle of the first block", () => {
    const grid = gridFromAffine(affine, [4, 5, 3]);
    // In memory x runs to the right: 5 voxels of 2 mm from 10 - 4 * 2 on.
    const image = { shape: [5, 4, 3], spacing: [2, 3, 4], grid, data: empty([5, 4, 3]) } as const;
    const geometry = planGeometry(half, image, "a");
    const working = workingGrid(geometry);
    assert.deepEqual(working.shape, [2, 2, 1]);
    assert.deepEqual(working.spacing, [4, 6, 8]);
    // Voxel (0, 0, 0) of the half grid lies at (0.5, 0.5, 0.5) of the old one: 2 + 2/2, 20 + 3/2, 30 + 4/2.
    assert.deepEqual(working.grid?.affine, [
      [4, 0, 0, 3],
      [0, 6, 0, 21.5],
      [0, 0, 8, 32],
      [0, 0, 0, 1],
    ]);
    assert.deepEqual(working.grid?.orientation, { axes: [1, 0, 2], flips: [true, false, false] });
    assert.equal(resultGrid(geometry).shape, working.shape);
  });

  it("needs no grid", () => {
    const image = { shape: [4, 4, 4], spacing: null, data: empty([4, 4, 4]) } as const;
    assert.deepEqual(workingGrid(planGeometry(half, image, "a")), { shape: [2, 2, 2], spacing: null });
  });

  it("is the file's own where nothing was done", () => {
    const source = { shape: [4, 5, 3], spacing: [2, 3, 4], grid: gridFromAffine(affine, [4, 5, 3]) } as const;
    const geometry = wholeGeometry({ ...source, ...{ data: empty([4, 5, 3]) } });
    assert.ok(isWhole(geometry));
    assert.deepEqual(geometry.source, source);
    assert.equal(workingGrid(geometry), geometry.source);
  });

  it("covers the same place as the crop, whatever the crop, the extents and the directions", () => {
    for (let index = 0; index < 200; index++) {
      const stream = new RandomStream(5, index, "geometry");
      const { geometry, steps, origin } = randomGeometry(stream);
      const { source, crop, shape } = geometry;
      const working = workingGrid(geometry);
      assert.ok(working.grid && source.grid);
      for (const corner of [0, 1, 2, 3, 4, 5, 6, 7]) {
        const at = (axis: number): number => (corner >> axis) & 1;
        // Outer corners, half a voxel beyond the centres, in both grids.
        const inFile = [0, 1, 2].map(
          (axis) => (crop.begin[axis] ?? 0) - 0.5 + at(axis) * (crop.shape[axis] ?? 0),
        );
        const inWork = [0, 1, 2].map((axis) => at(axis) * (shape[axis] ?? 0) - 0.5);
        const placeOf = (from: Vec3, columns: readonly Vec3[], where: readonly number[]): Vec3 =>
          columns.reduce((sum, step, axis) => add(sum, scale(step, where[axis] ?? 0)), from);
        const expected = placeOf(origin, steps, inFile);
        const { affine: own } = working.grid;
        const columns = [0, 1, 2].map((axis) => column(own, axis));
        const received = placeOf(column(own, 3), columns, inWork);
        // Coordinates of some 1000 mm in double; a shift of a hundredth of a voxel would be 1e-3.
        for (const axis of [0, 1, 2] as const)
          assert.ok(Math.abs((expected[axis] ?? 0) - (received[axis] ?? 0)) < 1e-9, `${index}`);
      }
      const lengths = stepLengths(working.grid.affine);
      for (const axis of [0, 1, 2] as const)
        assert.ok(Math.abs(lengths[axis] - (working.spacing?.[axis] ?? 0)) < 1e-9);
      assert.deepEqual(working.grid.orientation, source.grid.orientation);
    }
  });
});

/** A file with tilted axes, a part of it, and other extents. */
function randomGeometry(stream: RandomStream): { geometry: CaseGeometry; steps: Vec3[]; origin: Vec3 } {
  const file: Vec3 = [4 + stream.integer(40), 4 + stream.integer(40), 4 + stream.integer(40)];
  const tilted = [0, 1, 2].map((row) =>
    [0, 1, 2, 3].map((axis) => {
      if (axis === 3) return 1000 * stream.uniform() - 500;
      const main = (axis + row) % 3 === 0 ? 1 + stream.uniform() : 0;
      return main + 0.2 * (stream.uniform() - 0.5);
    }),
  );
  const grid = gridFromAffine([...tilted, [0, 0, 0, 1]] as unknown as Affine, file);
  const steps = [0, 1, 2].map((axis) => column(grid.affine, axis));
  const lengths = stepLengths(grid.affine);
  const source = wholeGeometry({
    shape: shapeInMemory(file, grid.orientation.axes),
    spacing: lengths,
    grid,
  }).source;
  const part = (axis: 0 | 1 | 2): [number, number] => {
    const begin = stream.integer(source.shape[axis] - 2);
    return [begin, 1 + stream.integer(source.shape[axis] - begin)];
  };
  const parts = [part(0), part(1), part(2)] as const;
  const crop = {
    begin: [parts[0][0], parts[1][0], parts[2][0]] as const,
    shape: [parts[0][1], parts[1][1], parts[2][1]] as const,
  };
  const shape: Vec3 = [1 + stream.integer(50), 1 + stream.integer(50), 1 + stream.integer(50)];
  return { geometry: { source, crop, shape, restores: true }, steps, origin: column(grid.affine, 3) };
}

const shapeInMemory = (file: Vec3, axes: Vec3): Vec3 => [
  file[axes[0]] ?? 0,
  file[axes[1]] ?? 0,
  file[axes[2]] ?? 0,
];
