import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { gridFromAffine } from "../../src/data/orientation.js";
import type { Affine, ImageVolume } from "../../src/data/volume.js";
import { writeImage } from "../../src/data/volume-file.js";
import { sfr } from "../cli/sfr.js";
import { writeTinySet } from "../e2e/tiny-set.js";

/** Extents of the volumes, voxels (x, y, z): one window of the tiny SAM. */
const extents = [12, 14, 13] as const;

/** Of memory's axes: x runs against the file's second axis, as in many scans. */
const affine: Affine = [
  [0, -0.5, 0, 20],
  [0.75, 0, 0, -30],
  [0, 0, 2, 10],
  [0, 0, 0, 1],
];

/**
 * Makes a run folder with a tiny SAM that was never trained; it labels as well as any for what is tested.
 *
 * @param flags of `sfr finetune`, for another SAM
 */
export async function makeTinyModel(root: string, ...flags: string[]): Promise<string> {
  const { config } = await writeTinySet(root);
  const run = join(root, "run");
  const words = ["finetune", config, "--finetune-steps", "0", "--out", run, "--quiet", ...flags];
  const { code, stderr } = await sfr(...words);
  if (code !== 0) throw new Error(stderr);
  return run;
}

/** Writes `count` good volumes `case_000.nii.gz` .. and returns their ids. */
export async function writeVolumes(folder: string, count: number): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const ids = Array.from({ length: count }, (_, i) => `case_${String(i).padStart(3, "0")}`);
  for (const [i, id] of ids.entries()) await writeImage(join(folder, `${id}.nii.gz`), texture(i));
  return ids;
}

function texture(index: number): ImageVolume {
  const data = Float32Array.from({ length: 12 * 14 * 13 }, (_, i) => Math.sin((i * (index + 3)) / 7));
  return { shape: extents, spacing: [0.5, 0.75, 2], data, grid: gridFromAffine(affine, [14, 12, 13]) };
}
