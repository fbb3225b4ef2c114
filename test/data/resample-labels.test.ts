import assert from "node:assert/strict";
import { test } from "node:test";
import { gridFromAffine } from "../../src/data/orientation.js";
import { resampleLabels } from "../../src/data/resample-labels.js";
import type { Affine, LabelVolume, Vec3 } from "../../src/data/volume.js";
import { DataError } from "../../src/errors.js";

/** A volume whose voxel (x, y, z) lies at origin + steps * (x, y, z) mm, with axes turned by an angle about z. */
function volumeAt(
  shape: Vec3,
  steps: Vec3,
  origin: Vec3,
  idAt: (place: Vec3) => number,
  turn = 0,
): LabelVolume {
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const affine: Affine = [
    [cos * steps[0], -sin * steps[1], 0, origin[0]],
    [sin * steps[0], cos * steps[1], 0, origin[1]],
    [0, 0, steps[2], origin[2]],
    [0, 0, 0, 1],
  ];
  const data = new Uint16Array(shape[0] * shape[1] * shape[2]);
  for (let z = 0, i = 0; z < shape[2]; z++) {
    for (let y = 0; y < shape[1]; y++) {
      for (let x = 0; x < shape[0]; x++, i++) {
        const place = affine.map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
        data[i] = idAt([place[0] ?? 0, place[1] ?? 0, place[2] ?? 0]);
      }
    }
  }
  return { shape, spacing: steps, grid: gridFromAffine(affine, shape), data };
}

/** Ids by place: 1000 z + 100 y + 10 x in whole mm, so that a voxel says where it came from. */
const byPlace = ([x, y, z]: Vec3) => 1000 * Math.round(z) + 100 * Math.round(y) + 10 * Math.round(x);

test("every voxel takes the id that lies at its place, 0 outside", () => {
  const labels = volumeAt([6, 5, 4], [1, 1, 1], [0, 0, 0], byPlace);
  // Half the voxels, moved by two in x: x 2..7 mm, of which 2..5 are inside.
  const target = volumeAt([6, 2, 2], [1, 2, 2], [2, 1, 1], ([x, y, z]) => (x > 5.5 ? 0 : byPlace([x, y, z])));
  const found = resampleLabels(labels, target, "a.nii");
  assert.deepEqual(found.data, target.data);
  assert.deepEqual([found.shape, found.spacing, found.grid], [target.shape, target.spacing, target.grid]);
  assert.ok(found.data instanceof Uint16Array);
  // On its own grid nothing changes.
  assert.deepEqual(resampleLabels(labels, labels, "a.nii").data, labels.data);
});

test("oblique grids: the nearest voxel, by the distance to every voxel", () => {
  const labels = volumeAt([9, 9, 3], [1, 1, 2], [0, 0, 0], byPlace, 0.4);
  const target = volumeAt([7, 7, 4], [1.3, 0.9, 1.1], [0.33, 1.21, 0.27], () => 0, -0.2);
  const found = resampleLabels(labels, target, "a.nii");
  const placeOf = ({ grid }: LabelVolume, x: number, y: number, z: number): Vec3 => {
    const [a, b, c] = (grid?.affine ?? []).map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
    return [a ?? 0, b ?? 0, c ?? 0];
  };
  let inside = 0;
  for (const [i, id] of found.data.entries()) {
    if (id === 0) continue;
    inside++;
    const place = placeOf(target, i % 7, Math.floor(i / 7) % 7, Math.floor(i / 49));
    let best = { distance: Number.POSITIVE_INFINITY, id: -1 };
    for (const [j, other] of labels.data.entries()) {
      const at = placeOf(labels, j % 9, Math.floor(j / 9) % 9, Math.floor(j / 81));
      const distance = Math.hypot(at[0] - place[0], at[1] - place[1], at[2] - place[2]);
      if (distance < best.distance) best = { distance, id: other };
    }
    assert.equal(id, best.id, `voxel ${i}`);
  }
  assert.ok(inside > 60, `${inside} voxels inside`);
});

test("a volume that does not say where it lies is refused", () => {
  const { grid: _, ...nowhere } = volumeAt([2, 2, 2], [1, 1, 1], [0, 0, 0], byPlace);
  const there = volumeAt([2, 2, 2], [1, 1, 1], [0, 0, 0], byPlace);
  assert.throws(() => resampleLabels(nowhere, there, "a.nii"), DataError);
  assert.throws(() => resampleLabels(there, nowhere, "a.nii"), DataError);
});
