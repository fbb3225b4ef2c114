/** A large CT with many organs: what scoring it takes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Grid } from "../../src/data/grid-match.js";
import { AS_STORED } from "../../src/data/orientation.js";
import { writeLabels } from "../../src/data/volume-file.js";
import { temporaryFolder } from "../data/nifti-files.js";

const cliPath = fileURLToPath(new URL("../../src/cli/cli.js", import.meta.url));
const shape = [512, 512, 600] as const;
const organs = 13;
/** Writes the most memory that the process had, kB, when it ends. */
const tell = `data:text/javascript,${encodeURIComponent(
  'process.on("exit", () => console.error("maxRSS", process.resourceUsage().maxRSS));',
)}`;

/** Ellipsoids of 34 x 40 x 70 voxels and more that stand in two rows, each moved along x by so many voxels. */
function labelled(move: number): Uint8Array {
  const [sizeX, sizeY, sizeZ] = shape;
  const data = new Uint8Array(sizeX * sizeY * sizeZ);
  for (let organ = 1; organ <= organs; organ++) {
    const [a, b, c] = [34 + organ, 40 + 5 * organ, 70 + 15 * organ];
    const [x, y, z] = [70 + (organ % 5) * 90 + move, 130 + (organ % 2) * 240, 300];
    for (let k = Math.max(0, z - c); k < Math.min(sizeZ, z + c); k++)
      for (let j = Math.max(0, y - b); j < Math.min(sizeY, y + b); j++) {
        const left = 1 - ((k - z) / c) ** 2 - ((j - y) / b) ** 2;
        if (left <= 0) continue;
        const half = a * Math.sqrt(left);
        const row = (k * sizeY + j) * sizeX;
        data.fill(organ, row + Math.max(0, Math.ceil(x - half)), row + Math.min(sizeX, Math.floor(x + half)));
      }
  }
  return data;
}

test("a CT of 512 x 512 x 600 voxels with 14 classes is scored in 2 GB", async (t) => {
  const root = await temporaryFolder(t);
  const affine = [
    [-0.8, 0, 0, 204] as const,
    [0, -0.8, 0, 204] as const,
    [0, 0, 1, 0] as const,
    [0, 0, 0, 1] as const,
  ];
  const grid: Grid = {
    shape,
    spacing: [0.8, 0.8, 1],
    grid: { affine, orientation: AS_STORED, header: null },
  };
  for (const [folder, move] of [
    ["predictions", 3],
    ["references", 0],
  ] as const) {
    await mkdir(join(root, folder));
    await writeLabels(join(root, folder, "ct.nii.gz"), { ...grid, data: labelled(move) }, grid);
  }
  const words = ["evaluate", join(root, "predictions"), join(root, "references"), "--json", "--quiet"];
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", tell, cliPath, ...words], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  assert.ok(stdout.includes(`"${organs}"`), "the last organ has scores");
  const most = Number(/maxRSS (\d+)/.exec(stderr)?.[1]) * 1024;
  t.diagnostic(`${(most / 1e9).toFixed(2)} GB`);
  assert.ok(most <= 2e9, `${most} bytes`);
});
