import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  bootstrapInterval,
  percentile,
  percentileOfDistances,
  wilcoxonSignedRank,
} from "../../src/metrics/statistics.js";

const fixture = fileURLToPath(new URL("../../../test/fixtures/metrics.json", import.meta.url));

test("Wilcoxon's signed-rank test is SciPy's: exact, with ties, with zeros, approximate", () => {
  const { wilcoxon } = JSON.parse(readFileSync(fixture, "utf8")) as {
    wilcoxon: { name: string; differences: number[]; p: number }[];
  };
  assert.equal(wilcoxon.length, 7);
  for (const { name, differences, p } of wilcoxon) {
    const ours = wilcoxonSignedRank(differences) ?? Number.NaN;
    // Both work in double; the tail of the normal distribution is a series on our side.
    assert.ok(Math.abs(ours - p) <= 1e-12 * p, `${name}: expected ${p}, received ${ours}`);
  }
  assert.equal(wilcoxonSignedRank([0, 0]), null);
  assert.equal(wilcoxonSignedRank([]), null);
});

test("the bootstrap interval lies where normal theory puts it, and says nothing of one value", () => {
  const values = Array.from({ length: 400 }, (_, i) => Math.sin(i * 12.9898) * 3 + 7);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const sd = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  const half = (1.96 * sd) / Math.sqrt(values.length);
  const [low, high] = bootstrapInterval(values) ?? [0, 0];
  // 10 000 draws place a 2.5 % point within 4 % of the interval's half width, three standard errors.
  assert.ok(Math.abs(low - (mean - half)) < 0.08 * half, `${low} instead of ${mean - half}`);
  assert.ok(Math.abs(high - (mean + half)) < 0.08 * half, `${high} instead of ${mean + half}`);
  assert.deepEqual(bootstrapInterval(values), [low, high]);
  assert.deepEqual(bootstrapInterval([2, 2, 2]), [2, 2]);
  assert.equal(bootstrapInterval([2]), null);
  assert.equal(percentile([], 0.5), null);
});

test("a percentile of unsorted distances is that of the sorted ones", () => {
  const lists = [
    [3],
    [0, 1e-3],
    [5, 5, 5, 5, 2],
    // Many ties, neighbours that differ in the last bits only, and one that is infinite.
    Array.from({ length: 997 }, (_, i) => Math.sqrt((i * i * 31) % 57)),
    Array.from({ length: 1000 }, (_, i) => 1 + (((i * 7919) % 1000) * 2 ** -22) / 5),
    [1, Number.POSITIVE_INFINITY, 2, 0.5],
  ];
  for (const list of lists) {
    for (const fraction of [0, 0.5, 0.95, 1]) {
      const sorted = Float32Array.from(list).sort();
      const ours = percentileOfDistances(Float32Array.from(list), fraction);
      assert.equal(ours, percentile(sorted, fraction), `${list.slice(0, 5)} at ${fraction}`);
    }
  }
  assert.equal(percentileOfDistances(new Float32Array(0), 0.95), null);
});
