import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { voxelCount } from "../../src/data/volume.js";
import { readGrid, writeLabels } from "../../src/data/volume-file.js";
import { sfr } from "../cli/sfr.js";
import { temporaryFolder } from "../data/nifti-files.js";
import { dcmjsMissing } from "./library.js";

const python = process.env.PYTHON ?? "python3";
const script = join(process.cwd(), "test/oracle/dicom.py");
const fixtures = join(process.cwd(), "test/fixtures/dicom");
const hasJudges = spawnSync(python, ["-c", "import highdicom, pydicom, SimpleITK"]).status === 0;

/** What a judge prints. */
function judge(...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(python, [script, ...words], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

describe("DICOM, judged by SimpleITK, pydicom and highdicom", {
  skip:
    dcmjsMissing ||
    (hasJudges ? false : `highdicom or SimpleITK is missing in ${python} (PYTHON names another)`),
}, () => {
  for (const name of ["oblique", "implicit-unsigned"]) {
    it(`${name}: a series lies where SimpleITK has it, and labels go back as a segmentation`, async (t) => {
      const folder = await temporaryFolder(t);
      const at = (part: string): string => join(folder, part);
      const imported = await sfr("dicom-import", join(fixtures, name), "--out", folder);
      assert.equal(imported.code, 0, imported.stderr);
      assert.equal(judge("volume", join(fixtures, name), at(`${name}.nii.gz`)), "right");
      const grid = await readGrid(at(`${name}.nii.gz`));
      const count = voxelCount(grid.shape);
      // Two ids; the second in some slices only, so that frames are left out.
      const data = Uint16Array.from({ length: count }, (_, i) =>
        i % 3 === 0 ? 7 : i > count / 2 && i % 5 === 0 ? 300 : 0,
      );
      await mkdir(at("labels"));
      const labels = join(at("labels"), `${name}.nii.gz`);
      await writeLabels(labels, { ...grid, data }, grid);
      const words = ["--series", fixtures, "--names", "7=left atrium", "--out", folder];
      const exported = await sfr("dicom-export", labels, ...words);
      assert.equal(exported.code, 0, exported.stderr);
      const verdict = judge("segmentation", join(fixtures, name), at(`${name}.dcm`), labels);
      assert.equal(verdict, "['left atrium', 'label 300']");
    });
  }
});
