import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse, stringify } from "yaml";
import { gridDifference } from "../../src/data/grid-match.js";
import { readImage, readLabels } from "../../src/data/volume-file.js";
import { sfr } from "../cli/sfr.js";
import { tinyTestCases, writeTinySet } from "./tiny-set.js";

// Air is 0 and tissue 600 in the phantoms, 1 x 1 x 1.5 mm: every step of the plan has something to do.
const preprocess = {
  cropAbove: 400,
  cropMargin: 1,
  window: [0, 800],
  spacing: [1.3, 0.9, 1.2],
  minimumSlices: 33,
};

describe("a run with a preprocessing plan", () => {
  let root = "";
  let data = "";
  let run = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-plan-"));
    const tiny = await writeTinySet(root);
    data = tiny.data;
    run = join(root, "run");
    const settings = parse(await readFile(tiny.config, "utf8")) as Record<string, object>;
    const split = { ...settings.data, relabel: { 7: "ignore" } };
    // So many that the V-Net says something else than background.
    const retrain = { ...settings.retrain, steps: 80 };
    const arms = [{ method: "labelled-only" }, { method: "mean-teacher", pseudoLabels: "sam" }];
    await writeFile(tiny.config, stringify({ ...settings, data: split, preprocess, retrain, arms }));
    const { code, stderr } = await sfr("run", tiny.config, "--out", run, "--quiet");
    assert.equal(code, 0, stderr);
  });
  after(() => rm(root, { recursive: true }));

  const images = tinyTestCases.map((id) => join("imagesTs", `${id}.nii.gz`));
  const arm = "v-net-labelled-only";

  it("writes predictions on the grids of the files, and pseudo-labels on the grid of training", async () => {
    for (const [i, id] of tinyTestCases.entries()) {
      const image = await readImage(join(data, images[i] ?? ""));
      const labels = await readLabels(join(run, "arms", arm, "predictions", `${id}.nii.gz`));
      assert.equal(gridDifference(image, labels), null);
      // All of the header that says where voxels lie.
      const bytes = [image, labels].map(({ grid }) => Buffer.from(grid?.header?.bytes ?? []));
      for (const [from, to] of [
        [40, 56],
        [76, 108],
        [252, 328],
      ])
        assert.deepEqual(bytes[1]?.subarray(from, to), bytes[0]?.subarray(from, to));
      assert.ok(labels.data.some((id) => id > 0));
    }
    const working = await readLabels(join(run, "pseudo-labels", "phantom_002.nii.gz"));
    // Extents are whole voxels: 13 or more of them make up for at most half a voxel.
    for (const [axis, step] of preprocess.spacing.slice(0, 2).entries())
      assert.ok(Math.abs((working.spacing?.[axis] ?? 0) / step - 1) < 0.04);
    assert.equal(working.shape[2], 33);
  });

  it("scores leave out the voxels to ignore", async () => {
    const summary = JSON.parse(await readFile(join(run, "arms", arm, "summary.json"), "utf8"));
    let leftOut = 0;
    for (const [i, id] of tinyTestCases.entries()) {
      const truth = await readLabels(join(data, "labelsTs", `${id}.nii.gz`));
      const { data: predicted } = await readLabels(join(run, "arms", arm, "predictions", `${id}.nii.gz`));
      const [all, counted] = [predicted.map(Number), predicted.filter((_, at) => truth.data[at] !== 7)].map(
        (labels) => labels.filter((label) => label === 4).length,
      );
      leftOut += (all ?? 0) - (counted ?? 0);
      const { metrics } = summary.metric_per_case[i];
      assert.deepEqual(Object.keys(metrics), ["4"]);
      assert.equal(metrics["4"].n_pred, counted);
    }
    assert.ok(leftOut > 0, "some of the voxels were labelled");
  });

  it("says in preprocessing.json what was done to each case", async () => {
    const { plan, cases } = JSON.parse(await readFile(join(run, "preprocessing.json"), "utf8"));
    assert.deepEqual(plan.spacing, preprocess.spacing);
    assert.deepEqual(
      Object.keys(cases),
      [0, 1, 2, 3, 4].map((index) => `phantom_00${index}`),
    );
    assert.equal(cases.phantom_002.voxels[2], 33);
    assert.ok(cases.phantom_002.crop.voxels[0] < cases.phantom_002.file.voxels[0]);
  });

  it("treats new volumes alike: `sfr predict` writes the same labels as the run", async () => {
    const weights = join(run, "arms", arm, "segmenter.safetensors");
    const out = join(root, "out");
    const inputs = images.map((image) => join(data, image));
    const { code, stderr } = await sfr(
      ...["predict", ...inputs, "--weights", weights, "--out", out],
      ...["--stride", "5,4,6", "--review", "--quiet"],
    );
    assert.equal(code, 0, stderr);
    for (const id of tinyTestCases) {
      const own = await readFile(join(run, "arms", arm, "predictions", `${id}.nii.gz`));
      assert.deepEqual(await readFile(join(out, `${id}.nii.gz`)), own);
    }
  });

  it("labels a cohort with SAM on the files' grids, with maps", async () => {
    const out = join(root, "cohort");
    const { code, stderr } = await sfr(
      ...["pseudo-label", "--model", run, "--input", join(data, "imagesTs"), "--out", out, "--quiet"],
    );
    assert.equal(code, 0, stderr);
    for (const [i, id] of tinyTestCases.entries()) {
      const image = await readImage(join(data, images[i] ?? ""));
      const confidence = await readImage(join(out, "confidence", `${id}.nii.gz`));
      assert.equal(gridDifference(image, await readLabels(join(out, `${id}.nii.gz`))), null);
      assert.equal(gridDifference(image, confidence), null);
      // Air at the border is outside the crop.
      assert.equal(Math.round((confidence.data[0] ?? 0) * 255), 255);
      assert.ok(confidence.data.some((value) => value < 0.9));
    }
  });
});
