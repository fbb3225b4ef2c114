import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { configSchema } from "../../src/config/schema.js";
import type { LabelVolume, Vec3 } from "../../src/data/volume.js";
import { writeImage, writeLabels } from "../../src/data/volume-file.js";
import { sfr } from "./sfr.js";

/** Labels of 12 x 8 x 8 mm from (0, 0, 0), by the position of a voxel's centre in mm. */
function labels(step: Vec3, idAt: (x: number, y: number, z: number) => number): LabelVolume {
  const shape: Vec3 = [12 / step[0], 8 / step[1], 8 / step[2]];
  const middle = step.map((edge) => edge / 2) as [number, number, number];
  const data = Uint8Array.from({ length: shape[0] * shape[1] * shape[2] }, (_, i) => {
    const [x, y, z] = [
      i % shape[0],
      Math.floor(i / shape[0]) % shape[1],
      Math.floor(i / shape[0] / shape[1]),
    ];
    return idAt(middle[0] + x * step[0], middle[1] + y * step[1], middle[2] + z * step[2]);
  });
  const affine = [
    [step[0], 0, 0, middle[0]],
    [0, step[1], 0, middle[1]],
    [0, 0, step[2], middle[2]],
    [0, 0, 0, 1],
  ] as const;
  const orientation = { axes: [0, 1, 2], flips: [false, false, false] } as const;
  return { shape, spacing: step, data, grid: { affine, orientation, header: null } };
}

describe("sfr evaluate", () => {
  let root = "";
  const path = (...parts: string[]): string => join(root, ...parts);
  const write = async (labels: LabelVolume, ...parts: string[]) => {
    await mkdir(path(...parts.slice(0, -1)), { recursive: true });
    await writeLabels(path(...parts), labels, labels);
  };
  const dice = async (...words: string[]): Promise<Record<string, number>> => {
    const { code, stdout, stderr } = await sfr(
      "evaluate",
      ...words,
      "--out",
      path("out"),
      "--json",
      "--quiet",
    );
    assert.equal(code, 0, stderr);
    const { mean } = JSON.parse(stdout).summary;
    return Object.fromEntries(Object.keys(mean).map((id) => [id, mean[id].Dice]));
  };
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-evaluate-"));
  });
  after(() => rm(root, { recursive: true }));

  it("refuses a prediction on another grid, and brings it to its reference's with --resample", async () => {
    const box = (x: number, y: number, z: number) => Number(x < 6 && y < 4 && z < 4);
    await write(labels([1, 1, 1], box), "fine", "a.nii.gz");
    await write(labels([2, 2, 2], box), "coarse", "a.nii.gz");
    const refused = await sfr("evaluate", path("coarse"), path("fine"), "--quiet");
    assert.equal(refused.code, 3);
    assert.match(
      refused.stderr,
      /coarse.a\.nii\.gz: expected 12 x 8 x 8 voxels as .*fine.a\.nii\.gz has, received 6 x 4 x 4 voxels; resample it to that grid, or have it done with --resample/,
    );
    assert.deepEqual(await dice(path("coarse"), path("fine"), "--resample"), { 1: 1 });
    // Half of the box is missed.
    await write(
      labels([2, 2, 2], (x, y, z) => Number(x < 6 && y < 2 && z < 4)),
      "coarse",
      "a.nii.gz",
    );
    assert.deepEqual(await dice(path("coarse"), path("fine"), "--resample"), { 1: 2 / 3 });
  });

  describe("references whose ids count as others", () => {
    // Ids 2 and 4 of four slabs are the prediction's 1; where the reference says 9 nobody knows.
    const reference = labels([1, 1, 1], (x) => (x < 3 ? 2 : x < 6 ? 4 : x < 9 ? 9 : 0));
    const prediction = labels([1, 1, 1], (x, y) => Number(x < 7 || (x < 9 && y < 4)));
    const relabel = { 2: 1, 4: 1, 9: "ignore" } as const;
    before(async () => {
      await write(prediction, "predictions", "a.nii.gz");
      await write(reference, "references", "a.nii.gz");
    });

    it("compares ids as they are unless told", async () => {
      const scores = await dice(path("predictions"), path("references"));
      assert.deepEqual(scores, { 1: 0, 2: 0, 4: 0, 9: 0 });
    });

    it("as --relabel says", async () => {
      const flag = ["--relabel", "2:1,4:1,9:ignore"];
      assert.deepEqual(await dice(path("predictions"), path("references"), ...flag), { 1: 1 });
      const wrong = await sfr("evaluate", path("predictions"), path("references"), "--relabel", "2:left");
      assert.equal(wrong.code, 2);
      assert.match(
        wrong.stderr,
        /--relabel: expected pairs of label ids, or an id and ignore, received '2:left'/,
      );
    });

    it("as the run has it whose predictions they are", async () => {
      const config = configSchema.parse({
        ...{ name: "a", patch: [8, 8, 8], arms: [{ method: "labelled-only" }] },
        data: { root: "data", labelled: 1, relabel },
      });
      await write(prediction, "run", "arms", "b", "predictions", "a.nii.gz");
      await writeFile(path("run", "run.json"), JSON.stringify({ format: 1, config }));
      assert.deepEqual(await dice(path("run", "arms", "b", "predictions"), path("references")), { 1: 1 });
    });

    it("as the data set says what it ignores", async () => {
      await write(reference, "Dataset001_Slabs", "labelsTr", "a.nii.gz");
      await mkdir(path("Dataset001_Slabs", "imagesTr"));
      const image = { ...reference, data: Float32Array.from(reference.data) };
      await writeImage(path("Dataset001_Slabs", "imagesTr", "a_0000.nii.gz"), image);
      const card = {
        ...{ channel_names: { 0: "CT" }, numTraining: 1, file_ending: ".nii.gz" },
        labels: { background: 0, left: 2, right: 4, ignore: 9 },
      };
      await writeFile(path("Dataset001_Slabs", "dataset.json"), JSON.stringify(card));
      const scores = await dice(path("predictions"), path("Dataset001_Slabs"), "--relabel", "2:1,4:1");
      assert.deepEqual(scores, { 1: 1 });
    });
  });
});
