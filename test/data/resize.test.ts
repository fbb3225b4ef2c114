import assert from "node:assert/strict";
import { test } from "node:test";
import { axisTaps, resizeImage, resizeLabels } from "../../src/data/resize.js";
import type { Vec3 } from "../../src/data/volume.js";

const whole = (shape: Vec3) => ({ begin: [0, 0, 0] as Vec3, shape });

/** Weights of every old voxel in a new one. */
function row({ first, count, weights }: ReturnType<typeof axisTaps>, from: number, i: number): number[] {
  const all = new Array<number>(from).fill(0);
  for (let j = 0; j < count; j++) all[(first[i] ?? 0) + j] = weights[i * count + j] ?? 0;
  return all;
}

test("taps: the same extent is the identity, larger ones interpolate, smaller ones count every voxel", () => {
  const same = axisTaps(5, 5);
  for (let i = 0; i < 5; i++)
    assert.deepEqual(
      row(same, 5, i),
      [0, 1, 2, 3, 4].map((j) => (j === i ? 1 : 0)),
    );
  // Centres of the new voxels at -0.25, 0.25, 0.75, 1.25 of the old ones.
  const wide = axisTaps(2, 4);
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => row(wide, 2, i)),
    [
      [1, 0],
      [0.75, 0.25],
      [0.25, 0.75],
      [0, 1],
    ],
  );
  // A triangle twice as wide around 0.5 and 2.5; what lies outside is left out.
  const narrow = axisTaps(4, 2);
  const expected = [
    [3 / 7, 3 / 7, 1 / 7, 0],
    [0, 1 / 7, 3 / 7, 3 / 7],
  ];
  for (const [i, weights] of expected.entries())
    assert.deepEqual(row(narrow, 4, i), weights.map(Math.fround));
  for (const [from, to] of [
    [1, 7],
    [7, 1],
    [50, 13],
    [13, 50],
    [88, 96],
  ] as const) {
    const taps = axisTaps(from, to);
    const used = new Array<number>(from).fill(0);
    for (let i = 0; i < to; i++) {
      const weights = row(taps, from, i);
      // Rounding of each weight to f32.
      assert.ok(Math.abs(weights.reduce((a, b) => a + b) - 1) < 1e-6);
      for (const [j, weight] of weights.entries()) used[j] = (used[j] ?? 0) + weight;
    }
    assert.ok(
      used.every((weight) => weight > 0),
      `${from} to ${to}`,
    );
  }
});

test("an image: a linear ramp of a part stays one, at the new places", () => {
  const from: Vec3 = [9, 8, 7];
  const at = (x: number, y: number, z: number) => 2 * x - 3 * y + 5 * z;
  const data = new Float32Array(9 * 8 * 7);
  for (let z = 0, i = 0; z < 7; z++)
    for (let y = 0; y < 8; y++) for (let x = 0; x < 9; x++) data[i++] = at(x, y, z);
  const box = { begin: [1, 2, 3] as Vec3, shape: [8, 6, 4] as Vec3 };
  const to: Vec3 = [16, 6, 3];
  const out = resizeImage(data, from, box, to);
  const place = (i: number, axis: 0 | 1 | 2) => {
    const ratio = box.shape[axis] / to[axis];
    return box.begin[axis] + (i + 0.5) * ratio - 0.5;
  };
  // Away from the border, where the triangle is whole.
  for (let z = 1; z < 2; z++) {
    for (let y = 0; y < 6; y++) {
      for (let x = 1; x < 15; x++) {
        const expected = at(place(x, 0), place(y, 1), place(z, 2));
        // f32 sums of values below 100.
        assert.ok(Math.abs((out[(z * 6 + y) * 16 + x] ?? 0) - expected) < 1e-4, `${x} ${y} ${z}`);
      }
    }
  }
  assert.deepEqual(resizeImage(data, from, whole(from), from), data);
});

test("labels: the largest share of each class wins, as one by one as images", () => {
  const from: Vec3 = [11, 9, 8];
  const data = Uint8Array.from(
    { length: 11 * 9 * 8 },
    (_, i) => [0, 0, 3, 3, 7, 255][Math.floor(Math.abs(Math.sin(i * 12.9898) * 43758.5)) % 6] ?? 0,
  );
  const box = { begin: [2, 1, 0] as Vec3, shape: [8, 8, 7] as Vec3 };
  for (const to of [
    [13, 8, 9],
    [5, 4, 3],
    [8, 8, 7],
  ] as const) {
    const out = resizeLabels(data, from, box, to);
    const shares = [0, 3, 7, 255].map((id) => ({
      id,
      share: resizeImage(
        Float32Array.from(data, (label) => (label === id ? 1 : 0)),
        from,
        box,
        to,
      ),
    }));
    for (let i = 0; i < out.length; i++) {
      const best = Math.max(...shares.map(({ share }) => share[i] ?? 0));
      const own = shares.find(({ id }) => id === out[i])?.share[i] ?? 0;
      // Equal shares may come apart by the rounding of sums of some 50 products.
      assert.ok(own > best - 1e-5, `${to} at ${i}`);
    }
  }
  assert.deepEqual(resizeLabels(data, from, whole(from), from), data);
});
