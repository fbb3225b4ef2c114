import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { workingGrid } from "../../src/data/case-geometry.js";
import { generatePhantom } from "../../src/data/phantom.js";
import { prepareCase } from "../../src/data/prepare.js";
import { plainPlan } from "../../src/data/preprocessing-plan.js";
import { writeImage, writeLabels } from "../../src/data/volume-file.js";
import { disposeCase } from "../../src/run/case-store.js";
import { readGivenLabel } from "../../src/run/given-labels.js";
import { writeClasses } from "../../src/run/label-files.js";

it("given labels are halved as the labels of cases are, and taken as they are on the halved grid", async () => {
  const root = await mkdtemp(join(tmpdir(), "sfr-given-"));
  try {
    const { image, label } = generatePhantom(3, 1, [26, 25, 24]);
    const [imagePath, labelPath, halfPath] = ["image", "label", "half"].map((name) =>
      join(root, `${name}.nii.gz`),
    );
    assert.ok(imagePath !== undefined && labelPath !== undefined && halfPath !== undefined);
    await writeImage(imagePath, image);
    await writeLabels(labelPath, label, image);
    const labelIds = [0, 1, 2];
    const entry = { id: "a", image: imagePath, label: labelPath };
    const prepared = await prepareCase(entry, {
      needLabel: true,
      labelIds,
      plan: { ...plainPlan, halve: true },
    });
    const wanted = prepared.label?.u8 ?? assert.fail("no label");
    await writeClasses(halfPath, wanted, workingGrid(prepared.geometry), labelIds);
    for (const path of [labelPath, halfPath]) {
      using given = await readGivenLabel(path, prepared, labelIds);
      assert.deepEqual(given.shape, prepared.image.shape);
      assert.deepEqual(given.u8, wanted);
    }
    disposeCase(prepared);
    const whole = await prepareCase(entry, { needLabel: false, labelIds: undefined, plan: plainPlan });
    await assert.rejects(
      readGivenLabel(halfPath, whole, labelIds),
      /half\.nii\.gz: expected 26 x 25 x 24 voxels/,
    );
    disposeCase(whole);
  } finally {
    await rm(root, { recursive: true });
  }
});
