import assert from "node:assert/strict";
import { test } from "node:test";
import { DataError } from "../../src/errors.js";
import { compareSummaries } from "../../src/metrics/compare.js";
import { type CaseScores, summarize } from "../../src/metrics/summary.js";
import { comparisonTable } from "../../src/run/comparison-table.js";
import { classScores } from "./class-scores.js";

const gains = [0.1, 0.2, 0.3, 0.4, 0.6];
const scored = (id: string, dice: number, hd95: number | null): CaseScores => ({
  id,
  unit: "mm",
  classes: [classScores(1, { Dice: dice, HD95: hd95 }, hd95 === null ? { nPred: 0 } : {})],
});
const first = summarize(gains.map((_, i) => scored(`case-${i}`, 0.3, 9)));
const second = summarize([
  ...gains.map((gain, i) => scored(`case-${i}`, 0.3 + gain, i === 0 ? null : 9 - i)).reverse(),
  scored("only-here", 0, 99),
]);

test("pairs are found by case id, and only those that both score count", () => {
  const [dice, hd95, ...rest] = compareSummaries(first, second, ["Dice", "HD95"]);
  assert.deepEqual(rest, []);
  // The first case of the second lacks the class: Dice 0, no distance.
  assert.deepEqual(
    [dice?.label, dice?.metric, dice?.cases, dice?.better, dice?.worse],
    ["1", "Dice", 5, 4, 1],
  );
  assert.ok(Math.abs((dice?.difference ?? 0) - (0.2 + 0.3 + 0.4 + 0.6 - 0.3) / 5) < 1e-12);
  assert.deepEqual([hd95?.cases, hd95?.first, hd95?.second, hd95?.better, hd95?.worse], [4, 9, 6.5, 4, 0]);
  // 2 / 2^4: all four differences have one sign.
  assert.equal(hd95?.p, 0.125);
  const [low = 0, high = 0] = dice?.ci95 ?? [];
  assert.ok(low < (dice?.difference ?? 0) && (dice?.difference ?? 0) < high);
});

test("what cannot be compared is refused", () => {
  const others = summarize([scored("elsewhere", 0.5, 1)]);
  assert.throws(() => compareSummaries(first, others, ["Dice"]), DataError);
  const voxels = summarize(
    gains.map((_, i): CaseScores => ({ ...scored(`case-${i}`, 0.5, 2), unit: "voxel" })),
  );
  assert.throws(() => compareSummaries(first, voxels, ["HD95"]), /in mm in both, received voxel/);
  assert.equal(compareSummaries(first, voxels, ["Dice"]).length, 1);
});

test("the table has a line for each metric and the mean of several classes", () => {
  const two = (dice: number) =>
    summarize([
      { id: "a", unit: "mm", classes: [classScores(1, { Dice: dice }), classScores(2, { Dice: dice / 2 })] },
    ]);
  const lines = comparisonTable(compareSummaries(two(0.8), two(0.4), ["Dice"]), "mm").split("\n");
  assert.deepEqual(
    lines.slice(0, 5).map((line) => line.trimEnd()),
    [
      "                       cases  first  second  difference  95 % interval  better / worse    p",
      "-".repeat(91),
      "mean of classes, Dice      1  0.600   0.300      -0.300              -           0 / 1  1.0",
      "label 1, Dice              1  0.800   0.400      -0.400              -           0 / 1  1.0",
      "label 2, Dice              1  0.400   0.200      -0.200              -           0 / 1  1.0",
    ],
  );
});
