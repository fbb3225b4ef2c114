import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { resolveConfig } from "../../src/config/load.js";
import { generatePhantom } from "../../src/data/phantom.js";
import { readGrid, readImage, readLabels, writeImage, writeLabels } from "../../src/data/volume-file.js";
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

  const check = async (...flags: string[]): Promise<{ code: number | null; lines: string[] }> => {
    const cache = ["--quiet", "--cache", join(root, "cache.json")];
    const { code, stdout, stderr } = await sfr("check", data, ...cache, ...flags);
    assert.equal(stderr, "");
    return { code, lines: stdout.trimEnd().split("\n") };
  };

  it("says nothing of a good data set, and reads unchanged files once", async () => {
    const image = path("images", "phantom_000.nii.gz");
    await utimes(image, 1000, 1000);
    assert.deepEqual(await check(), {
      code: 0,
      lines: ["4 cases (images-labels): 0 faults, 0 harmless, 0 notes"],
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
      /^7 cases \(images-labels\): 5 faults, 0 harmless, 0 notes$/,
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

  it("--repair mends labels that are off by rounding or stored as float, and keeps the originals", async () => {
    const names = ["phantom_000", "phantom_001", "phantom_002"].map((id) => path("labels", `${id}.nii.gz`));
    const [shifted = "", float = "", good = ""] = names;
    const label = await readLabels(shifted);
    assert.ok(label.grid);
    const affine = label.grid.affine.map(([x, y, z, origin]) => [x, y, z, origin + 1e-4] as const);
    await writeLabels(shifted, label, { ...label, grid: { ...label.grid, affine, header: null } });
    const ids = (await readLabels(float)).data;
    const image = await readImage(path("images", "phantom_001.nii.gz"));
    await writeImage(float, { ...image, data: Float32Array.from(ids) });
    const before = await Promise.all(names.map((name) => readFile(name)));
    const { code, lines } = await check();
    assert.deepEqual([code, lines.length], [0, 3], lines.join("\n"));
    assert.match(
      lines[0] ?? "",
      /^harmless: .*labels.phantom_000\.nii\.gz: expected the place of .*images.phantom_000\.nii\.gz, received one that is off by 0\.000\d+ mm; .*--repair/,
    );
    assert.match(
      lines[1] ?? "",
      /^harmless: .*labels.phantom_001\.nii\.gz: expected ids stored as integers .*, received float32; /,
    );
    const repaired = await check("--repair", "--roundtrip");
    assert.deepEqual(
      repaired,
      {
        code: 0,
        lines: [
          `repaired: ${shifted}: the original is ${shifted}.original`,
          `repaired: ${float}: the original is ${float}.original`,
          "7 files came back bit for bit",
          "4 cases (images-labels): 0 faults, 0 harmless, 0 notes",
        ],
      },
      repaired.lines.join("\n"),
    );
    assert.deepEqual((await readLabels(shifted)).data, label.data);
    assert.deepEqual((await readLabels(float)).data, ids);
    const grids = await Promise.all(
      [path("images", "phantom_000.nii.gz"), shifted].map((name) => readGrid(name)),
    );
    assert.deepEqual(grids[1]?.grid?.affine, grids[0]?.grid?.affine);
    for (const [i, name] of [shifted, float].entries())
      assert.deepEqual(await readFile(`${name}.original`), before[i]);
    assert.deepEqual(await readFile(good), before[2], "nothing to mend");
    assert.deepEqual(await check(), {
      code: 0,
      lines: ["4 cases (images-labels): 0 faults, 0 harmless, 0 notes"],
    });
    // A second repair keeps the first original, not what the first repair has made of it.
    await writeImage(float, { ...image, data: Float32Array.from(ids) });
    await check("--repair");
    assert.deepEqual(await readFile(`${float}.original`), before[1]);
  });

  it("says where s-form and q-form are apart; --repair leaves faults alone", async () => {
    const image = path("images", "phantom_000.nii.gz");
    const label = path("labels", "phantom_000.nii.gz");
    const bytes = gunzipSync(await readFile(image));
    bytes.writeInt16LE(1, 252);
    bytes.writeFloatLE(12, 268);
    await writeFile(image, gzipSync(bytes));
    await rm(path("labels", "phantom_001.nii.gz"));
    await writeFile(path("labels", "phantom_001.nii.gz"), "no label");
    const before = await readFile(label);
    const { code, lines } = await check("--repair", "--roundtrip");
    assert.equal(code, 3);
    assert.match(lines[0] ?? "", /^fault: .*phantom_001\.nii\.gz: expected a NIfTI header/);
    assert.match(
      lines[1] ?? "",
      /^note: .*phantom_000\.nii\.gz: s-form and q-form are up to [\d.]+ mm apart; the s-form is used/,
    );
    assert.match(lines[2] ?? "", /^6 files came back bit for bit$/);
    assert.equal(lines.length, 4, lines.join("\n"));
    assert.deepEqual(await readFile(label), before);
  });

  it("--roundtrip takes every channel: files of their own, and volumes of 4D files", async () => {
    const folder = join(root, "channels", "imagesTr");
    await mkdir(folder, { recursive: true });
    await mkdir(join(root, "channels", "labelsTr"));
    const { image, label } = generatePhantom(0, 1, [24, 25, 26]);
    for (const channel of [0, 1]) await writeImage(join(folder, `a_000${channel}.nii.gz`), image);
    await writeLabels(join(root, "channels", "labelsTr", "a.nii.gz"), label, image);
    const card = {
      ...{ channel_names: { 0: "T1", 1: "T2" }, numTraining: 1, file_ending: ".nii.gz" },
      labels: { background: 0, inner: 1, outer: 2 },
    };
    await writeFile(join(root, "channels", "dataset.json"), JSON.stringify(card));
    data = join(root, "channels");
    assert.match((await check("--roundtrip")).lines.join("\n"), /^3 files came back bit for bit$/m);
    // The image as a 4D file of two volumes.
    const bytes = gunzipSync(await readFile(join(folder, "a_0000.nii.gz")));
    bytes.writeInt16LE(4, 40);
    bytes.writeInt16LE(2, 48);
    data = join(root, "data");
    const both = Buffer.concat([bytes, Buffer.from(bytes.subarray(352)).reverse()]);
    await writeFile(path("imagesUn", "phantom_003.nii.gz"), gzipSync(both));
    const { lines } = await check("--roundtrip");
    assert.match(lines.join("\n"), /^7 files came back bit for bit$/m);
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
