import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CaseScores, summarize } from "../../src/metrics/summary.js";
import { scoreTable } from "../../src/run/score-table.js";
import { classScores } from "../metrics/class-scores.js";

/** Scores of a class; `isPredicted: false` is a prediction that lacks it. */
function scored(label: number, isPredicted = true) {
  const metrics = { Dice: 0.8, Jaccard: 0.7, HD95: 4, ASD: 1 };
  return classScores(label, metrics, { nPred: isPredicted ? 12 : 0 });
}

const entry = (id: string, classes: CaseScores["classes"]): CaseScores => ({ id, unit: "mm", classes });

describe("scoreTable", () => {
  it("is plain where every case has every score", () => {
    const summary = summarize([entry("a", [scored(1)]), entry("b", [scored(1)])]);
    assert.deepEqual(scoreTable([{ name: "SFR", summary, wallSeconds: 75 }]).split("\n"), [
      "              Dice        Jaccard    HD95 (mm)     ASD (mm)  cases        time",
      "------------------------------------------------------------------------------",
      "SFR  0.800 ± 0.000  0.700 ± 0.000  4.00 ± 0.00  1.00 ± 0.00      2  1 min 15 s",
    ]);
  });

  it("says beside a score how many cases count when one lacks it, and by which rule", () => {
    const summary = summarize([
      entry("a", [scored(1)]),
      entry("b", [scored(1)]),
      entry("c", [scored(1, false)]),
    ]);
    const [, , row, blank, note, ...rest] = scoreTable([{ name: "SFR", summary }]).split("\n");
    assert.equal(row, "SFR  0.533 ± 0.462  0.467 ± 0.404  4.00 ± 0.00 (n=2)  1.00 ± 0.00 (n=2)      3");
    assert.deepEqual([blank, rest], ["", []]);
    assert.match(
      note ?? "",
      /only one of them has Dice, Jaccard and the like 0 and no distances\. n: cases that have the score/,
    );
    assert.match(note ?? "", /authors' scripts count 0 in all scores where the prediction lacks the class/);
  });

  it("counts per class when there are several, and leaves a score without any case empty", () => {
    const summary = summarize([
      entry("a", [scored(1), scored(2, false)]),
      entry("b", [scored(1, false), scored(2, false)]),
    ]);
    const rows = scoreTable([{ name: "SFR", summary }], { 2: "wall" })
      .split("\n")
      .slice(2, 5);
    const cells = rows.map((row) => row.split(/ {2,}(?=\S)/).slice(-3));
    assert.deepEqual(cells, [
      ["4.00", "1.00", "2"],
      ["0.350 ± 0.495", "4.00 (n=1)", "1.00 (n=1)"],
      ["0.000 ± 0.000", "-", "-"],
    ]);
  });
});
