import assert from "node:assert/strict";
import { test } from "node:test";
import type { CaseGeometry } from "../../src/data/case-geometry.js";
import { boxTaps, resizeLabels } from "../../src/data/resize.js";
import { type Vec3, voxelCount } from "../../src/data/volume.js";
import { RestoringSink } from "../../src/predict/restoring-sink.js";

const classes = 4;

/** Softmax of smooth waves, [z][y][x][k]. */
function probabilitiesOf([nx, ny, nz]: Vec3): Float32Array {
  const values = new Float32Array(nx * ny * nz * classes);
  for (let i = 0; i < nx * ny * nz; i++) {
    const [x, y, z] = [(i % nx) / nx, (Math.floor(i / nx) % ny) / ny, Math.floor(i / (nx * ny)) / nz];
    const raw = Array.from({ length: classes }, (_, k) =>
      Math.exp(3 * Math.sin(7 * x * (k + 1) + k) * Math.cos(5 * y - 2 * k) + 2 * Math.sin(6 * z + 3 * k)),
    );
    const sum = raw.reduce((a, b) => a + b);
    for (const [k, value] of raw.entries()) values[i * classes + k] = value / sum;
  }
  return values;
}

/** Gives rows to a sink as the sliding window does. */
function feed(sink: RestoringSink, probabilities: Float32Array, [nx, ny, nz]: Vec3): void {
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++) sink.row(z, y, new Uint8Array(0), probabilities, (z * ny + y) * nx);
}

/** The same in double, voxel by voxel of the crop. */
function reference(probabilities: Float32Array, { crop, shape }: CaseGeometry): number[][] {
  const taps = boxTaps(shape, crop.shape);
  const out: number[][] = [];
  for (let z = 0; z < crop.shape[2]; z++)
    for (let y = 0; y < crop.shape[1]; y++)
      for (let x = 0; x < crop.shape[0]; x++) {
        const sums = new Array<number>(classes).fill(0);
        const spans = [x, y, z].map((i, axis) => {
          const { first, count, weights } = taps[axis as 0 | 1 | 2];
          return Array.from(
            { length: count },
            (_, j) => [(first[i] ?? 0) + j, weights[i * count + j] ?? 0] as const,
          );
        });
        const [xs = [], ys = [], zs = []] = spans;
        for (const [c, wc] of zs)
          for (const [b, wb] of ys)
            for (const [a, wa] of xs)
              for (let k = 0; k < classes; k++)
                sums[k] =
                  (sums[k] ?? 0) +
                  wa * wb * wc * (probabilities[((c * shape[1] + b) * shape[0] + a) * classes + k] ?? 0);
        out.push(sums);
      }
  return out;
}

const source = { shape: [17, 13, 15] as Vec3, spacing: [1, 1, 2] as Vec3 };
const crop = { begin: [3, 2, 1] as Vec3, shape: [12, 9, 13] as Vec3 };
const shapes: readonly Vec3[] = [
  [12, 9, 13],
  [8, 6, 10],
  [20, 9, 40],
  [5, 30, 4],
  [1, 1, 1],
];

for (const shape of shapes) {
  test(`labels and maps of ${shape.join(" x ")} voxels are those of interpolated probabilities`, () => {
    const geometry: CaseGeometry = { source, crop, shape, restores: true };
    const probabilities = probabilitiesOf(shape);
    const expected = reference(probabilities, geometry);
    for (const maps of ["confidence", "probabilities"] as const) {
      const sink = new RestoringSink(geometry, classes, maps);
      feed(sink, probabilities, shape);
      const { labels, confidence, probabilities: kept, meanConfidence } = sink.result;
      using _ = sink.result;
      let [at, sum, close] = [0, 0, 0];
      for (let i = 0; i < voxelCount(source.shape); i++) {
        const place = [i % 17, Math.floor(i / 17) % 13, Math.floor(i / (17 * 13))];
        const isInside = place.every((p, axis) => {
          const from = crop.begin[axis] ?? 0;
          return p >= from && p < from + (crop.shape[axis] ?? 0);
        });
        if (!isInside) {
          assert.equal(labels.u8[i], 0);
          assert.equal(confidence?.[i], 255);
          continue;
        }
        const values = expected[at++] ?? [];
        const best = Math.max(...values);
        const own = values[labels.u8[i] ?? 0] ?? 0;
        // Three f32 sums one after another of numbers below 1.
        assert.ok(best - own < 1e-6, `voxel ${i}`);
        if (labels.u8[i] !== values.indexOf(best)) close++;
        // Half a step of a byte, and the same rounding.
        assert.ok(Math.abs((confidence?.[i] ?? 0) / 255 - best) < 0.5 / 255 + 1e-6);
        for (const [k, map] of kept.entries())
          assert.ok(Math.abs((map[i] ?? 0) / 255 - (values[k] ?? 0)) < 0.5 / 255 + 1e-6);
        sum += best;
      }
      assert.equal(at, voxelCount(crop.shape));
      assert.ok(close < 3, `${close} voxels between two classes`);
      // Outside the crop the network saw nothing, so it has no confidence there.
      assert.ok(Math.abs(meanConfidence - sum / at) < 1e-6);
    }
  });
}

test("a crop alone comes back voxel for voxel", () => {
  const geometry: CaseGeometry = { source, crop, shape: crop.shape, restores: true };
  const labels = Uint8Array.from(
    { length: voxelCount(source.shape) },
    (_, i) => (i * i * 7 + (i >> 3)) % classes,
  );
  const seen = resizeLabels(labels, source.shape, crop, crop.shape);
  const oneHot = new Float32Array(seen.length * classes);
  for (const [i, label] of seen.entries()) oneHot[i * classes + label] = 1;
  const sink = new RestoringSink(geometry, classes, "none");
  feed(sink, oneHot, crop.shape);
  using result = sink.result;
  const again = resizeLabels(result.labels.u8, source.shape, crop, crop.shape);
  assert.deepEqual(again, seen);
  const outside = result.labels.u8.reduce((sum, label) => sum + (label > 0 ? 1 : 0), 0);
  assert.equal(
    outside,
    seen.reduce((sum, label) => sum + (label > 0 ? 1 : 0), 0),
  );
});
