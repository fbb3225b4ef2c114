import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DataError } from "../../src/errors.js";
import type { Counts } from "../../src/metrics/evidence.js";
import {
  type CaseScores,
  readSummary,
  summarize,
  summaryCsv,
  writeSummary,
} from "../../src/metrics/summary.js";
import { classScores } from "./class-scores.js";

const scores = (label: number, dice: number | null, hd95: number | null, counts: Partial<Counts> = {}) =>
  classScores(
    label,
    {
      Dice: dice,
      IoU: dice === null ? null : dice / (2 - dice),
      Jaccard: dice === null ? null : dice / (2 - dice),
      HD95: hd95,
      ASD: hd95 === null ? null : hd95 / 4,
    },
    counts,
  );
const cases: CaseScores[] = [
  { id: "a", unit: "mm", classes: [scores(1, 0.8, 4), scores(3, 0.5, 8)] },
  { id: "b", unit: "mm", classes: [scores(1, 0.6, 2), scores(3, 1, 1, { nPred: 0, nRef: 0 })] },
  {
    id: 'c "x", y',
    unit: "mm",
    classes: [scores(1, 1, 0), scores(3, null, Number.NaN, { nPred: 0 })],
  },
];

describe("summary", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-summary-"));
  });
  after(() => rm(folder, { recursive: true }));
  // Sums of three decimal fractions: a few units in the last place of numbers near one.
  const near = (actual: number | null | undefined, expected: number) =>
    assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-12, `${actual} instead of ${expected}`);

  it("leaves classes that are nowhere out of means and scores missed ones 0", () => {
    const summary = summarize(cases);
    near(summary.mean["1"]?.Dice, 0.8);
    near(summary.sd["1"]?.Dice, 0.2);
    near(summary.mean["1"]?.HD95, 2);
    assert.equal(summary.n_valid["1"]?.Dice, 3);
    assert.equal(summary.metric_per_case[1]?.metrics["3"]?.Dice, null);
    assert.equal(summary.metric_per_case[1]?.metrics["3"]?.HD95, null);
    assert.equal(summary.metric_per_case[2]?.metrics["3"]?.Dice, 0);
    assert.equal(summary.metric_per_case[2]?.metrics["3"]?.ASD, null);
    near(summary.mean["3"]?.Dice, 0.25);
    assert.equal(summary.n_valid["3"]?.Dice, 2);
    assert.equal(summary.n_valid["3"]?.HD95, 1);
    assert.equal(summary.sd["3"]?.HD95, null);
    near(summary.foreground_mean.Dice, (0.8 + 0.25) / 2);
    near(summary.foreground_mean.HD95, (2 + 8) / 2);
    // Per case 0.65, 0.6, 0.5.
    near(
      summary.foreground_sd.Dice,
      Math.sqrt(((0.65 - 1.75 / 3) ** 2 + (0.6 - 1.75 / 3) ** 2 + (0.5 - 1.75 / 3) ** 2) / 2),
    );
    assert.deepEqual(summary.units, {
      Dice: "1",
      IoU: "1",
      Jaccard: "1",
      Precision: "1",
      Recall: "1",
      NSD: "1",
      HD95: "mm",
      HD: "mm",
      ASD: "mm",
      ASSD: "mm",
      VolumeError: "1",
      counts: "voxel",
    });
    assert.equal(summary.mean["1"]?.IoU, summary.mean["1"]?.Jaccard);
  });

  it("adds the authors' rule beside ours, where a missing prediction has the best distance", () => {
    const { paper, ...ours } = summarize(cases, { paper: true, tolerance: 2 });
    assert.deepEqual(ours, summarize(cases, { tolerance: 2 }));
    assert.equal(ours.nsd_tolerance, 2);
    near(paper?.mean["1"]?.Dice, 0.8);
    // Case c lacks class 3: Dice 0 as with us, but HD95 0 too. Case b has it nowhere; the authors count 0 there as well.
    near(paper?.mean["3"]?.Dice, 0.5 / 3);
    near(paper?.mean["3"]?.HD95, 8 / 3);
    assert.equal(paper?.n_valid["3"]?.HD95, 3);
    const rows = summaryCsv({ ...ours, paper: paper ?? assert.fail("no statistics") }).split("\r\n");
    assert.equal(rows.filter((row) => row.startsWith("paper_mean,")).length, 2);
  });

  it("says how sure a mean is", () => {
    const { ci95, foreground_ci95 } = summarize(cases);
    const [low, high] = ci95["1"]?.Dice ?? [0, 0];
    assert.ok(low >= 0.6 && low < 0.8 && high > 0.8 && high <= 1, `${low} .. ${high}`);
    assert.equal(ci95["3"]?.HD95, null);
    assert.notEqual(foreground_ci95.Dice, null);
  });

  it("gives no mean distance over cases of different units", () => {
    const summary = summarize([...cases, { id: "d", unit: "voxel", classes: [scores(1, 0.8, 4)] }]);
    assert.equal(summary.distance_unit, "mixed");
    assert.equal(summary.mean["1"]?.HD95, null);
    assert.equal(summary.foreground_mean.ASD, null);
    near(summary.mean["1"]?.Dice, 0.8);
  });

  it("is written without NaN and read back equal", async () => {
    const path = join(folder, "summary.json");
    await writeSummary(path, summarize(cases));
    assert.deepEqual(readSummary(path), summarize(cases));
    assert.deepEqual(summarize([]).metric_per_case, []);
  });

  it("reads nnU-Net's file with bare NaN", async () => {
    const path = join(folder, "nnunet.json");
    await writeFile(
      path,
      `{"foreground_mean": {"Dice": NaN}, "mean": {"1": {"Dice": 0.9, "IoU": -Infinity}},
        "metric_per_case": [
          {"metrics": {"1": {"Dice": 0.9, "FN": 1, "FP": 2, "IoU": 0.82, "TN": 5, "TP": 9, "n_pred": 11, "n_ref": 10},
                       "2": {"Dice": NaN, "FN": 0, "FP": 0, "IoU": NaN, "TN": 17, "TP": 0, "n_pred": 0, "n_ref": 0}},
           "prediction_file": "/p/NaN \\"Infinity.nii.gz", "reference_file": "/r/la_1.nii.gz"}]}`,
    );
    const summary = readSummary(path);
    assert.equal(summary.metric_per_case[0]?.id, 'NaN "Infinity');
    assert.equal(summary.mean["1"]?.Dice, 0.9);
    assert.equal(summary.mean["1"]?.Jaccard, 0.82);
    assert.equal(summary.mean["2"]?.Dice, null);
    assert.equal(summary.foreground_mean.Dice, 0.9);
    await writeFile(path, '{"mean": {}}');
    assert.throws(() => readSummary(path), DataError);
    await writeFile(path, "{NaN");
    assert.throws(() => readSummary(path), DataError);
    assert.throws(() => readSummary(join(folder, "none")), DataError);
  });

  it("makes a CSV with one row per case and class, quoted where needed", () => {
    const lines = summaryCsv(summarize(cases)).split("\r\n");
    assert.equal(
      lines[0],
      "row,case,class,distance_unit,Dice,IoU,Jaccard,Precision,Recall,NSD,HD95,HD,ASD,ASSD,VolumeError,TP,FP,FN,TN,n_pred,n_ref",
    );
    assert.equal(lines[2], `case,a,3,mm,0.5,${0.5 / 1.5},${0.5 / 1.5},,,,8,,2,,,10,2,3,85,12,13`);
    assert.equal(lines[4], "case,b,3,mm,,,,,,,,,,,,10,2,3,85,0,0");
    assert.ok(lines[5]?.startsWith('case,"c ""x"", y",1,mm,1,1,1,,,,0,,0,'));
    assert.deepEqual(
      lines.slice(7).map((line) => line.split(",").slice(0, 3).join()),
      [
        "mean,,1",
        "mean,,3",
        "sd,,1",
        "sd,,3",
        "n_valid,,1",
        "n_valid,,3",
        "foreground_mean,,",
        "foreground_sd,,",
        "",
      ],
    );
  });
});
