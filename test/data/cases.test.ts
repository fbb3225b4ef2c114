import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { type Case, openDataset } from "../../src/data/cases.js";
import { temporaryFolder } from "./nifti-files.js";

/** Writes files with these contents (layouts look at names only). */
async function plant(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
}

const empty = (...names: string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, ""]));
const summary = (cases: readonly Case[]): string[] =>
  cases.map((entry) => (entry.label === undefined ? entry.id : `${entry.id}+label`));

test("images-labels: pairs by stem, unlabelled ones beside them and in imagesUn, test folders", async (t) => {
  const root = await temporaryFolder(t);
  const names = ["images/b.nii.gz", "images/a.nii", "images/a-1.nii", "images/readme.json", "images/.x.nii"];
  await plant(
    root,
    empty(...names, "labels/a.nii.gz", "imagesUn/u.nii.gz", "imagesTs/t.nii", "labelsTs/t.nii"),
  );
  const found = await openDataset(root);
  assert.equal(found.layout, "images-labels");
  assert.deepEqual(summary(found.train), ["a+label", "a-1", "b", "u"]);
  assert.deepEqual(summary(found.test), ["t+label"]);
  assert.deepEqual(found.train[0], {
    id: "a",
    image: join(root, "images/a.nii"),
    label: join(root, "labels/a.nii.gz"),
  });
});

test("images-labels: what does not fit together is named", async (t) => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [["images/a.nii", "labels/a_seg.nii"], /label.*received none, the nearest is 'a'/],
    [["images/a.nii", "images/a.nii.gz"], /one file for 'a', received a.nii and a.nii.gz/],
    [["images/a.mgz"], /received 'a.mgz'; convert/],
    [["images/a.nii", "imagesUn/a.nii.gz"], /every case once, received 'a' twice/],
    [["images/notes.txt"], /at least one case, received none/],
  ];
  for (const [names, message] of cases) {
    const root = await temporaryFolder(t);
    await plant(root, empty(...names));
    await assert.rejects(openDataset(root), { name: "DataError", message });
  }
});

test("nnunet-raw: channels, label names of both versions", async (t) => {
  const root = await temporaryFolder(t);
  const json = (more: object): Record<string, string> => ({
    "dataset.json": JSON.stringify({
      channel_names: { 0: "MRI" },
      labels: { background: 0, heart: 3 },
      ...more,
    }),
  });
  await plant(root, { ...empty("imagesTr/b_0000.nii.gz", "imagesTr/a_x_0000.nii.gz"), ...json({}) });
  await plant(root, empty("labelsTr/b.nii.gz", "imagesTs/t_0000.nii.gz"));
  const found = await openDataset(root);
  assert.equal(found.layout, "nnunet-raw");
  assert.deepEqual(summary(found.train), ["a_x", "b+label"]);
  assert.deepEqual(summary(found.test), ["t"]);
  assert.deepEqual(found.labels, { 0: "background", 3: "heart" });
  await plant(root, json({ labels: { 0: "background", 2: "liver" } }));
  assert.deepEqual((await openDataset(root)).labels, { 0: "background", 2: "liver" });
  await plant(root, json({ labels: { background: 0, liver: 2, ignore: 4 } }));
  const { labels, ignore } = await openDataset(root);
  assert.deepEqual([labels, ignore], [{ 0: "background", 2: "liver" }, 4]);
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ channel_names: { 0: "T1", 1: "T2" } }, /expected 2 channels of 'a_x', received no a_x_0001; add/],
    [{ labels: { background: 0, whole: [1, 2] } }, /received regions \('whole'\)/],
    [{ labels: { background: 0, odd: 1.5 } }, /a whole number for label 'odd', received 1.5/],
    [{ file_ending: ".png" }, /file_ending, received '.png'/],
    [{ labels: 3 }, /nnU-Net's dataset.json/],
  ];
  for (const [more, message] of refused) {
    await plant(root, json(more));
    await assert.rejects(openDataset(root), { name: "DataError", message });
  }
  await plant(root, { ...json({}), ...empty("imagesTr/b_0001.nii.gz") });
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /<id>_0000, received 'b_0001'; name all channels in dataset\.json/,
  });
  const two = json({ channel_names: { 0: "T1", 1: "T2" } });
  await plant(root, { ...two, ...empty("imagesTr/a_x_0001.nii.gz", "imagesTs/t_0001.nii.gz") });
  const [first] = (await openDataset(root)).train;
  assert.deepEqual(first, {
    id: "a_x",
    image: join(root, "imagesTr", "a_x_0000.nii.gz"),
    further: [join(root, "imagesTr", "a_x_0001.nii.gz")],
  });
  await plant(root, empty("imagesTr/a_x_0002.nii.gz"));
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /<id>_0000 to <id>_0001, received 'a_x_0002'/,
  });
  await plant(root, { "dataset.json": "{ not json" });
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /nnU-Net's dataset.json, received SyntaxError/,
  });
});

test("ua-mt: ids in list order, the four places of a file, test.list before validation.list", async (t) => {
  const root = await temporaryFolder(t);
  await plant(root, {
    ...empty("volumes/v/mri_norm2.h5", "w/mri_norm2.h5", "x.h5", "data/y.h5"),
    "train.list": "w\nv \n\n# note\nx\n",
    "validation.list": "y\n",
  });
  const found = await openDataset(root);
  assert.equal(found.layout, "ua-mt");
  assert.deepEqual(summary(found.train), ["w+label", "v+label", "x+label"]);
  assert.deepEqual(summary(found.test), ["y+label"]);
  assert.equal(found.train[1]?.image, join(root, "volumes/v/mri_norm2.h5"));
  await plant(root, { "test.list": "z" });
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /test\.list: expected a file for case 'z' at one of volumes\/z\/mri_norm2\.h5, /,
  });
});

test("list-file: relative paths, tabs, kinds, and lines that say too much", async (t) => {
  const root = await temporaryFolder(t);
  const path = join(root, "my.list");
  await plant(root, {
    "my.list": "# id image label\na img/a.nii.gz lab/a.nii.gz\nb\tof b.nii\nc c.h5 c.h5\n",
  });
  const { train, layout } = await openDataset(path);
  assert.equal(layout, "list-file");
  assert.deepEqual(train, [
    { id: "a", image: join(root, "img/a.nii.gz"), label: join(root, "lab/a.nii.gz") },
    { id: "b", image: join(root, "of b.nii") },
    { id: "c", image: join(root, "c.h5"), label: join(root, "c.h5") },
  ]);
  await plant(root, { "my.list": "a a.nii b.nii c.nii" });
  await assert.rejects(openDataset(path), {
    name: "DataError",
    message: /my\.list:1: expected 'id image \[label\]'/,
  });
  await plant(root, { "my.list": "\n\na a.png" });
  await assert.rejects(openDataset(path), { name: "DataError", message: /my\.list:3: .* received 'a\.png'/ });
});

test("none, several or unknown layouts", async (t) => {
  const root = await temporaryFolder(t);
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /ua-mt: a file train\.list.*received an empty folder/,
  });
  await plant(root, empty("scan.nii.gz"));
  await assert.rejects(openDataset(root), { name: "DataError", message: /received scan\.nii\.gz; bring/ });
  await assert.rejects(openDataset(join(root, "none")), {
    name: "DataError",
    message: /nothing at this path/,
  });
  await plant(root, { ...empty("images/a.nii", "x.h5"), "train.list": "x" });
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /one layout, received signs of 2 \(images-labels: .*ua-mt: .*; name the layout/,
  });
  assert.deepEqual(summary((await openDataset(root, "ua-mt")).train), ["x+label"]);
  await assert.rejects(openDataset(root, "nnunet"), {
    name: "UsageError",
    message: /did you mean 'nnunet-raw'/,
  });
});
