import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { type Case, openDataset } from "../../src/data/cases.js";
import { temporaryFolder } from "./nifti-files.js";

async function plant(root: string, names: readonly string[], json?: object): Promise<void> {
  for (const name of names) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), "");
  }
  if (json) await writeFile(join(root, "dataset.json"), JSON.stringify(json));
}

const summary = (cases: readonly Case[]): string[] =>
  cases.map((entry) => (entry.label === undefined ? entry.id : `${entry.id}+label`));

test("decathlon: a dataset.json as MSD has it, names by id", async (t) => {
  const root = await temporaryFolder(t);
  await plant(root, ["imagesTr/la_1.nii.gz", "labelsTr/la_1.nii.gz", "imagesTs/la_9.nii.gz"], {
    labels: { 0: "background", 1: "left atrium" },
    modality: { 0: "MRI" },
    training: [{ image: "./imagesTr/la_1.nii.gz", label: "./labelsTr/la_1.nii.gz" }],
    test: ["./imagesTs/la_9.nii.gz"],
  });
  const found = await openDataset(root);
  assert.equal(found.layout, "decathlon");
  assert.deepEqual([summary(found.train), summary(found.test)], [["la_1+label"], ["la_9"]]);
  assert.deepEqual(found.labels, { 0: "background", 1: "left atrium" });
  assert.equal(found.train[0]?.label, join(root, "labelsTr/la_1.nii.gz"));
});

test("decathlon: MONAI's keys, folders of like names, names to ids, unlabelled cases", async (t) => {
  const root = await temporaryFolder(t);
  const names = [
    "p1/image.nrrd",
    "p1/label.nrrd",
    "p2/image.nrrd",
    "p3/image.mha",
    "p4/image.nii.gz",
    "p4/label.nii.gz",
  ];
  await plant(root, names, {
    labels: { background: 0, heart: 5 },
    training: [{ image: "p1/image.nrrd", label: "p1/label.nrrd", fold: 0 }],
    unlabeled: [
      { image: ["p2/image.nrrd", "p1/image.nrrd"] },
      { image: ["p3/image.mha"], label: "hidden.nii" },
    ],
    validation: [{ image: "p4/image.nii.gz", label: "p4/label.nii.gz" }],
  });
  for (const place of [root, join(root, "dataset.json")]) {
    const found = await openDataset(place);
    assert.equal(found.layout, "decathlon");
    assert.deepEqual(summary(found.train), ["p1/image+label", "p2/image", "p3/image"]);
    assert.deepEqual(summary(found.test), ["p4/image+label"]);
    // A list of files is the channels of a case.
    assert.deepEqual(
      found.train.map(({ further }) => further),
      [undefined, [join(root, "p1/image.nrrd")], undefined],
    );
    assert.deepEqual(found.labels, { 0: "background", 5: "heart" });
  }
});

test("decathlon: what is refused, and nnU-Net 1 beside it", async (t) => {
  const root = await temporaryFolder(t);
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ image: "a.png" }, /received 'a\.png'; convert it/],
  ];
  for (const [entry, message] of refused) {
    await plant(root, ["a.nii"], { training: [{ image: "a.nii" }, entry] });
    await assert.rejects(openDataset(root), { name: "DataError", message });
  }
  await plant(root, ["a.nii"], { training: [{ image: "a.nii" }, { label: "b.nii" }] });
  await assert.rejects(openDataset(root), { name: "DataError", message: /a wrong 'training\.1/ });
  // nnU-Net 1 lists names without the channel; its files have it.
  const old = await temporaryFolder(t);
  await plant(old, ["imagesTr/x_0000.nii.gz", "labelsTr/x.nii.gz", "imagesUn/y_0000.nii.gz"], {
    labels: { 0: "background", 1: "heart" },
    training: [{ image: "./imagesTr/x.nii.gz", label: "./labelsTr/x.nii.gz" }],
  });
  const found = await openDataset(old);
  assert.equal(found.layout, "nnunet-raw");
  assert.deepEqual(summary(found.train), ["x+label", "y"]);
});

test("bids: subjects with and without sessions, labels among the derivatives", async (t) => {
  const root = await temporaryFolder(t);
  await plant(root, [
    "dataset_description.json",
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_T1w.json",
    "sub-01/func/sub-01_task-rest_bold.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii",
    "sub-03/anat/sub-03_T1w.nii.gz",
    "derivatives/manual/sub-01/anat/sub-01_space-orig_desc-manual_dseg.nii.gz",
    "derivatives/manual/sub-01/anat/sub-01_desc-manual_probseg.nii.gz",
    "derivatives/manual/sub-02/ses-a/anat/sub-02_ses-a_dseg.nii.gz",
  ]);
  const found = await openDataset(root);
  assert.equal(found.layout, "bids");
  assert.deepEqual(summary(found.train), ["sub-01+label", "sub-02_ses-a+label", "sub-03"]);
  await plant(root, ["derivatives/auto/sub-01/anat/sub-01_dseg.nii.gz"]);
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /one label for 'sub-01', received .*auto.* and .*manual/,
  });
  await plant(root, ["sub-03/anat/sub-03_FLAIR.nii.gz"]);
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /of one suffix in anat\/, received FLAIR, T1w/,
  });
});

test("images-labels: other formats than NIfTI, and .seg.nrrd beside .nrrd", async (t) => {
  const root = await temporaryFolder(t);
  await plant(root, [
    "images/a.nrrd",
    "labels/a.seg.nrrd",
    "images/b.mhd",
    "images/b.raw",
    "labels/b.mha",
    "imagesUn/c.npz",
  ]);
  assert.deepEqual(summary((await openDataset(root)).train), ["a+label", "b+label", "c"]);
  await plant(root, ["images/b.nii"]);
  await assert.rejects(openDataset(root), {
    name: "DataError",
    message: /one file for 'b', received b\.mhd and b\.nii/,
  });
});
