import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RandomStream } from "../../src/graph/random.js";
import { densityPair, type FeatureVectors } from "../../src/metrics/density.js";

/** Vectors along (3, 4) / 5 with mean `shift`, and less spread across. */
function vectors(name: string, shift: number, count = 1500): FeatureVectors {
  const random = new RandomStream(1, 0, name);
  const values = Array.from({ length: count }, () => {
    const [along, across] = [shift + random.normal(), 0.8 * random.normal()];
    return [0.6 * along - 0.8 * across, 0.8 * along + 0.6 * across];
  });
  return { values: Float32Array.from(values.flat()), channels: 2 };
}

describe("densityPair", () => {
  it("finds the direction in which the sets differ, and how far they overlap", () => {
    const pair = densityPair(vectors("a", -1.5), vectors("b", 1.5));
    assert.ok(pair);
    // Two unit normals 3 apart have 2 Phi(-1.5) = 0.134 in common; kernels widen them, and 1500 values scatter by 0.01.
    assert.ok(Math.abs(pair.overlap - 0.134) < 0.04, String(pair.overlap));
    const step = (pair.x[1] ?? 0) - (pair.x[0] ?? 0);
    for (const density of [pair.first, pair.second]) {
      const area = density.reduce((sum, value) => sum + value * step, 0);
      // The axis ends one standard deviation beyond the outermost values.
      assert.ok(Math.abs(area - 1) < 0.01, String(area));
    }
    const top = (density: readonly number[]) => pair.x[density.indexOf(Math.max(...density))] ?? 0;
    // Means lie at 1.5 / sqrt(1.5^2 + 1) = 0.83 standard deviations of the whole; the peak of an estimate scatters.
    assert.ok(Math.abs(Math.abs(top(pair.first) - top(pair.second)) - 1.66) < 0.3);
  });

  it("calls equal sets equal, whatever their sizes", () => {
    const pair = densityPair(vectors("a", 0), vectors("b", 0, 500));
    // Two samples of one distribution: 500 values leave a few hundredths.
    assert.ok((pair?.overlap ?? 0) > 0.93, String(pair?.overlap));
    const same = densityPair(vectors("a", 0), vectors("a", 0));
    // Both curves are the same one; its area ends with the axis.
    assert.ok((same?.overlap ?? 0) > 0.99);
  });

  it("has nothing to say of an empty set or of features that do not vary", () => {
    assert.equal(densityPair(vectors("a", 0), { values: new Float32Array(0), channels: 2 }), undefined);
    const constant = { values: new Float32Array(20).fill(3), channels: 2 };
    assert.equal(densityPair(constant, constant), undefined);
  });
});
