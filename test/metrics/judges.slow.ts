/** Scores of the whole command against the programs that people know, computed anew. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { AS_STORED } from "../../src/data/orientation.js";
import type { Affine, Vec3 } from "../../src/data/volume.js";
import { writeLabels } from "../../src/data/volume-file.js";
import { RandomStream } from "../../src/graph/random.js";
import type { Summary } from "../../src/metrics/summary.js";
import { sfr } from "../cli/sfr.js";
import { temporaryFolder } from "../data/nifti-files.js";

const python = process.env.PYTHON ?? "python3";
const script = join(process.cwd(), "test/oracle/judge_scores.py");
const hasJudges = spawnSync(python, ["-c", "import medpy.metric, surface_distance, SimpleITK"]).status === 0;

const names = ["Dice", "Jaccard", "HD95", "ASD", "NSD"] as const;
const shape: Vec3 = [45, 38, 26];
/** No sum of such steps is 1 mm, the tolerance of NSD, so that no rounding decides. */
const spacings: readonly Vec3[] = [
  [0.7, 0.9, 3.1],
  [1.1, 1.1, 1.1],
  [2.3, 0.6, 1.4],
];

/** Ids 2, 5 and 9 in ellipsoids that are moved by up to some voxels, with borders that are rough and false voxels. */
function labels(random: RandomStream): Uint8Array {
  const data = new Uint8Array(shape[0] * shape[1] * shape[2]);
  const [moveX, moveY, moveZ] = [0, 1, 2].map(() => 4 * random.uniform() - 2);
  for (const [index, id] of [2, 5, 9].entries())
    for (let i = 0; i < data.length; i++) {
      const [x, y, z] = [
        i % shape[0],
        Math.floor(i / shape[0]) % shape[1],
        Math.floor(i / (shape[0] * shape[1])),
      ];
      const r =
        ((x - 12 - 10 * index - (moveX ?? 0)) / 9) ** 2 +
        ((y - 19 - (moveY ?? 0)) / 11) ** 2 +
        ((z - 13 - (moveZ ?? 0)) / 8) ** 2;
      if (r < 0.8 + 0.4 * random.uniform() || random.uniform() < 0.001) data[i] = id;
    }
  return data;
}

test("evaluate: scores are those of medpy, surface-distance and SimpleITK", {
  skip: hasJudges
    ? false
    : `medpy, surface-distance or SimpleITK is missing in ${python} (PYTHON names another)`,
}, async (t) => {
  const root = await temporaryFolder(t);
  const folders = [join(root, "predictions"), join(root, "references")] as const;
  for (const folder of folders) await mkdir(folder);
  for (const [index, spacing] of spacings.entries()) {
    const [x, y, z] = spacing;
    const affine: Affine = [
      [x, 0, 0, -3],
      [0, y, 0, 5],
      [0, 0, z, 7],
      [0, 0, 0, 1],
    ];
    const grid = { shape, spacing, grid: { affine, orientation: AS_STORED, header: null } };
    for (const [side, folder] of folders.entries()) {
      const data = labels(new RandomStream(1, index, `input/${side}`));
      await writeLabels(join(folder, `case${index}.nii.gz`), { ...grid, data }, grid);
    }
  }
  const { code, stderr } = await sfr("evaluate", ...folders, "--out", root, "--quiet");
  assert.equal(code, 0, stderr);
  const ours = JSON.parse(await readFile(join(root, "summary.json"), "utf8")) as Summary;
  const judged = spawnSync(python, [script, ...folders], { encoding: "utf8" });
  assert.equal(judged.status, 0, judged.stderr);
  const theirs = JSON.parse(judged.stdout) as Record<string, Record<string, Record<string, number>>>;
  let compared = 0;
  for (const { id, metrics } of ours.metric_per_case)
    for (const [label, values] of Object.entries(metrics))
      for (const name of names) {
        const [received, expected] = [values[name] ?? Number.NaN, theirs[id]?.[label]?.[name] ?? Number.NaN];
        // Distances and areas are kept in f32, 6e-8 of themselves; sums add some of those.
        const isClose = Math.abs(received - expected) <= 1e-6 * Math.max(1, expected);
        assert.ok(isClose, `${name} of label ${label} in ${id}: expected ${expected}, received ${received}`);
        compared++;
      }
  assert.equal(compared, spacings.length * 3 * names.length);
});
