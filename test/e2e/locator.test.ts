/** A coarse segmenter says where to crop, a fine one works there, and the result lies on the grid of its image. */
import assert from "node:assert/strict";
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse, stringify } from "yaml";
import { gridDifference } from "../../src/data/grid-match.js";
import { readImage, readLabels, writeImage, writeLabels } from "../../src/data/volume-file.js";
import { sfr } from "../cli/sfr.js";
import { tinyTestCases, writeTinySet } from "./tiny-set.js";

/** Folders of the cases by index, without `images` and `labels`. */
const parts = ["", "", "Un", "Un", "Un", "Ts", "Ts"] as const;

const arm = "v-net-labelled-only";
/** mm; voxels of the phantoms have 1 x 1 x 1.5 mm. */
const cropMargin = 2;

describe("a run whose volumes are cropped by a locator", () => {
  let root = "";
  let data = "";
  const folder = (name: string) => join(root, name);
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-locator-"));
    const tiny = await writeTinySet(root);
    data = tiny.data;
    const settings = parse(await readFile(tiny.config, "utf8")) as Record<string, object>;
    const arms = [{ method: "labelled-only" }];
    const run = async (name: string, changed: object) => {
      const config = join(root, `${name}.yaml`);
      await writeFile(config, stringify({ ...settings, arms, ...changed }));
      const { code, stderr } = await sfr("run", config, "--out", folder(name), "--quiet");
      assert.equal(code, 0, stderr);
    };
    for (const [index, part] of parts.entries()) await writeBlock(data, index, part);
    const retrain = { ...settings.retrain, steps: 40, learningRate: 0.05, labelledBatch: 2 };
    const segmenter = { filters: 2, dropout: 0 };
    await run("coarse", { retrain, segmenter, preprocess: { spacing: [2, 2, 2] } });
    await run("fine", { retrain, segmenter, preprocess: { locator: folder("coarse"), cropMargin } });
  });
  after(() => rm(root, { recursive: true }));

  const image = (id: string) => join(data, "imagesTs", `${id}.nii.gz`);
  const weights = () => join(folder("fine"), "arms", arm, "segmenter.safetensors");
  const predict = (file: string, out: string) =>
    sfr("predict", image(tinyTestCases[0]), "--weights", file, "--out", out, "--stride", "5,4,6", "--quiet");

  it("crops every case to what the coarse segmenter finds, with the margin", async () => {
    const { cases } = JSON.parse(await readFile(join(folder("fine"), "preprocessing.json"), "utf8"));
    // The block of 8 x 8 x 6 voxels is a fortieth of the field of view, and with its margin an eighth at most.
    const volume = (extents: readonly number[]) => extents.reduce((product, extent) => product * extent, 1);
    const shares = Object.values<{ file: { voxels: number[] }; crop: { voxels: number[] } }>(cases).map(
      ({ file, crop }) => volume(crop.voxels) / volume(file.voxels),
    );
    assert.equal(shares.length, 5);
    assert.ok(Math.max(...shares) < 0.2, `shares of the field of view: ${shares}`);
    // The test cases by the way of `predict`, from the coarse labels on the file's grid.
    for (const id of tinyTestCases) {
      const coarse = await readLabels(join(folder("coarse"), "arms", arm, "predictions", `${id}.nii.gz`));
      const fine = await readLabels(join(folder("fine"), "arms", arm, "predictions", `${id}.nii.gz`));
      assert.equal(gridDifference(await readImage(image(id)), fine), null);
      assert.ok(fine.data.some((label) => label > 0));
      const [inner, outer] = [spans(coarse), spans(fine)];
      for (const [axis, [low, high]] of outer.entries()) {
        const [first, last] = inner[axis] ?? [0, 0];
        // Interpolated labels may be smaller than the coarse voxels by one of those, 2 voxels at most.
        const slack = cropMargin + 2;
        assert.ok(low >= first - slack && high <= last + slack, `${id}: ${outer} around ${inner}`);
      }
    }
  });

  it("predicts alike from the image alone, with the copy of the locator in the run folder", async () => {
    await rename(folder("coarse"), folder("gone"));
    const { code, stderr } = await predict(weights(), folder("out"));
    assert.equal(code, 0, stderr);
    const [id] = tinyTestCases;
    const own = await readFile(join(folder("fine"), "arms", arm, "predictions", `${id}.nii.gz`));
    assert.deepEqual(await readFile(join(folder("out"), `${id}.nii.gz`)), own);
  });

  it("refuses weights without their locator, and with another one", async () => {
    const moved = join(root, "segmenter.safetensors");
    await copyFile(weights(), moved);
    const alone = await predict(moved, folder("out2"));
    assert.match(
      alone.stderr,
      /expected the locator of .*segmenter\.safetensors.*received none; copy locator/,
    );
    await copyFile(weights(), join(root, "locator.safetensors"));
    const wrong = await predict(moved, folder("out2"));
    assert.match(wrong.stderr, /locator\.safetensors: expected the locator of/);
    assert.deepEqual([alone.code, wrong.code], [3, 3]);
  });
});

/** Puts a bright block, elsewhere in every case, in the place of a phantom: what a few steps can learn. */
async function writeBlock(data: string, index: number, part: string): Promise<void> {
  const name = `phantom_00${index}.nii.gz`;
  const path = join(data, `images${part}`, name);
  const image = await readImage(path);
  const [width, height] = image.shape;
  const labels = Uint8Array.from(image.data, (_, i) => {
    const [x, y, z] = [i % width, Math.floor(i / width) % height, Math.floor(i / width / height)];
    const isInside = x >= 4 + index && x < 12 + index && y >= 6 + index && y < 14 + index && z >= 9 && z < 15;
    return isInside ? 4 : 0;
  });
  const intensities = Float32Array.from(labels, (label, i) => 250 * label + ((i * 7919) % 97));
  await writeImage(path, { ...image, data: intensities });
  if (part !== "Un") await writeLabels(join(data, `labels${part}`, name), { ...image, data: labels }, image);
}

/** First and last foreground voxel along each axis. */
function spans({ shape, data }: Awaited<ReturnType<typeof readLabels>>): [number, number][] {
  const found = shape.map((extent): [number, number] => [extent, -1]);
  const [width, height] = shape;
  for (const [i, label] of data.entries()) {
    if (label === 0) continue;
    const at = [i % width, Math.floor(i / width) % height, Math.floor(i / width / height)];
    for (const [axis, position] of at.entries()) {
      const span = found[axis];
      if (span !== undefined) found[axis] = [Math.min(span[0], position), Math.max(span[1], position)];
    }
  }
  return found;
}
