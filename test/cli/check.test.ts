import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { resolveConfig } from "../../src/config/load.js";
import { generatePhantom } from "../../src/data/phantom.js";
import { readImage, readLabels, writeImage, writeLabels } from "../../src/data/volume-file.js";
import { sfr } from "./sfr.js";

describe("sfr init and sfr check", () => {
  let root = "";
  let data = "";
  const path = (...parts: string[]): string => join(data, ...parts);
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-check-"));
    for (const folder of ["images", "labels", "imagesUn"])
      await mkdir(join(root, "good", folder), { recursive: true });
    for (const index of [0, 1, 2, 3]) {
      const { id, image, label } = generatePhantom(index, 1, [24, 25, 26]);
      await writeImage(join(root, "good", index < 3 ? "images" : "imagesUn", `${id}.nii.gz`), image);
      if (index < 3) await writeLabels(join(root, "good", "labels", `${id}.nii.gz`), label, image);
    }
  });
  beforeEach(async () => {
    data = join(root, "data");
    await rm(data, { recursive: true, force: true });
    await cp(join(root, "good"), data, { recursive: true, preserveTimestamps: true });
  });
  after(() => rm(root, { recursive: true }));

  const check = async (): Promise<{ code: number | null; lines: string[] }> => {
    const { code, stdout, stderr } = await sfr("check", data, "--quiet", "--cache", join(root, "cache.json"));
    assert.equal(stderr, "");
    return { code, lines: stdout.trimEnd().split("\n") };
  };

  it("says nothing of a good data set, and reads unchanged files once", async () => {
    const image = path("images", "phantom_000.nii.gz");
    await utimes(image, 1000, 1000);
    assert.deepEqual(await check(), {
      code: 0,
      lines: ["4 cases (images-labels): 0 faults, 0 notes"],
    });
    // A file whose bytes are gone but whose size and time are the same is not read again.
    const bytes = await readFile(image);
    await writeFile(image, Buffer.alloc(bytes.length));
    await utimes(image, 1000, 1000);
    assert.equal((await check()).code, 0);
    await utimes(image, 1000, 1001);
    const { code, lines } = await check();
    assert.equal(code, 3);
    assert.match(lines[0] ?? "", /^fault: .*phantom_000\.nii\.gz: expected a NIfTI header/);
  });

  it("finds each fault: grid, ids, duplicate, no image, voxels that are no numbers", async () => {
    const image = await readImage(path("images", "phantom_000.nii.gz"));
    const label = await readLabels(path("labels", "phantom_000.nii.gz"));
    assert.ok(image.grid);
    const affine = image.grid.affine.map(([x, y, z, origin]) => [x, y, z, origin + 5] as const);
    const grid = { ...image.grid, affine, header: null };
    await writeLabels(path("labels", "phantom_000.nii.gz"), label, { ...image, grid });
    const half = { ...image, data: Float32Array.from(label.data, (id) => id + 0.5) };
    await writeImage(
      path("labels", "phantom_001.nii.gz"),
      half,
      await readImage(path("images", "phantom_001.nii.gz")),
    );
    await cp(path("imagesUn", "phantom_003.nii.gz"), path("imagesUn", "again.nii.gz"));
    await writeImage(path("imagesUn", "flat.nii"), { ...image, data: image.data.map(() => 4) });
    const nan = await readFile(path("imagesUn", "flat.nii"));
    nan.writeFloatLE(Number.NaN, 352);
    nan.writeFloatLE(5, 356);
    await writeFile(path("imagesUn", "nan.nii"), nan);
    const { code, lines } = await check();
    assert.equal(code, 3);
    const expected = [
      /^fault: .*labels.phantom_000\.nii\.gz: expected origin .* as .*images.phantom_000\.nii\.gz has, received .*; give the label/,
      /^fault: .*labels.phantom_001\.nii\.gz: expected whole numbers/,
      /^fault: .*flat\.nii: expected an image, received 4 everywhere/,
      /^fault: .*nan\.nii: expected finite numbers for the voxels, received 1 that are not/,
      /^fault: .*phantom_003\.nii\.gz: expected other voxels than in .*again\.nii\.gz, received the same/,
      /^7 cases \(images-labels\): 5 faults, 0 notes$/,
    ];
    assert.equal(lines.length, expected.length, lines.join("\n"));
    for (const [index, pattern] of expected.entries()) assert.match(lines[index] ?? "", pattern);
  });

  it("notes what is legal but odd: an empty label, ids of some cases, far spacing", async () => {
    const image = await readImage(path("images", "phantom_000.nii.gz"));
    const label = await readLabels(path("labels", "phantom_000.nii.gz"));
    await writeLabels(
      path("labels", "phantom_000.nii.gz"),
      { ...label, data: new Uint8Array(label.data.length) },
      image,
    );
    const spacing = [3, 1, 1] as const;
    await writeImage(path("imagesUn", "far.nii"), {
      shape: [24, 24, 24],
      data: image.data.slice(0, 24 ** 3),
      spacing,
    });
    const { code, lines } = await check();
    assert.equal(code, 0, lines.join("\n"));
    const text = lines.join("\n");
    assert.match(text, /note: .*phantom_000\.nii\.gz: no voxel is labelled/);
    assert.match(text, /note: label id 1: in 2 of 3 labels/);
    assert.match(text, /note: .*far\.nii: voxels of 3 x 1 x 1 mm, of .* as a rule/);
  });

  it("init shows the data set and writes a configuration that `run` takes", async () => {
    const out = join(root, "my.yaml");
    const { code, stdout, stderr } = await sfr("init", data, "--out", out);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /layout +images-labels\nlabelled +3\nunlabelled +1\ntest +0\n/);
    assert.match(
      stdout,
      /first +phantom_000\.nii\.gz: 24 x 25 x 26 voxels \(15600\), spacing .* mm, axes [RL]AS\n/,
    );
    const config = resolveConfig(out);
    assert.deepEqual(config.patch, [16, 16, 16]);
    assert.deepEqual([config.sam.size, config.sam.canvas, config.retrain.steps], ["tiny", 512, 600]);
    assert.deepEqual([config.data.labelled, config.data.root, config.arms.length], [3, data, 2]);
    const again = await sfr("init", data, "--out", out);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /--out: expected the name of a new file, received '.*my\.yaml', which exists/);
  });
});
