import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Case } from "../../src/data/cases.js";
import {
  classesOfIds,
  idsOfClasses,
  makeLabelTable,
  relabelColors,
  relabelNames,
} from "../../src/data/label-table.js";
import { discoverLabels, loadCase, loadChannels } from "../../src/data/load-case.js";
import type { Vec3 } from "../../src/data/volume.js";
import { writeImage, writeLabels } from "../../src/data/volume-file.js";
import { writeH5 } from "./h5-writer.js";
import { asStored, niftiBytes, temporaryFolder } from "./nifti-files.js";

/** Writes a 3 x 2 x 1 image, and a label of this shape with these ids. */
async function plantCase(
  folder: string,
  id: string,
  ids: number[],
  labelShape: Vec3 = [3, 2, 1],
): Promise<Case & { label: string }> {
  const image = join(folder, `${id}.nii.gz`);
  const label = join(folder, `${id}_label.nii.gz`);
  await writeImage(image, {
    shape: [3, 2, 1],
    data: Float32Array.of(1, 2, 3, 4, 5, 6),
    spacing: [1, 2, 3],
  });
  const labels = { shape: labelShape, data: Uint16Array.from(ids), spacing: [1, 2, 3] as const };
  await writeLabels(label, labels, labels);
  return { id, image, label };
}

test("ids of several cases make one table, and map to classes and back", async (t) => {
  const folder = await temporaryFolder(t);
  const a = await plantCase(folder, "a", [0, 0, 500, 500, 0, 0]);
  const b = await plantCase(folder, "b", [7, 0, 500, 0, 7, 0]);
  const { table } = await discoverLabels([a, b]);
  assert.deepEqual(table.ids, [0, 7, 500]);
  const loaded = await loadCase(b, table);
  assert.deepEqual(loaded.label.data, Uint8Array.of(1, 0, 2, 0, 1, 0));
  assert.deepEqual(loaded.label.spacing, [1, 2, 3]);
  assert.deepEqual(idsOfClasses(loaded.label.data, table), Uint16Array.of(7, 0, 500, 0, 7, 0));
  assert.deepEqual(loaded.channels, await loadChannels(b));
});

test("an h5 case holds image and label in one file", async (t) => {
  const path = join(await temporaryFolder(t), "a.h5");
  const shape = [1, 2, 2];
  await writeH5(path, {
    image: { shape, data: Float32Array.of(1, 2, 3, 4) },
    label: { shape, data: Uint8Array.of(0, 1, 0, 0) },
  });
  const entry = { id: "a", image: path, label: path } as const;
  const { channels, label } = await loadCase(entry, (await discoverLabels([entry])).table);
  assert.deepEqual([...(channels[0]?.data ?? [])], [1, 3, 2, 4]);
  assert.deepEqual([...label.data], [0, 0, 1, 0]);
});

test("a label that does not fit is named with file, id and voxel", async (t) => {
  const folder = await temporaryFolder(t);
  const table = makeLabelTable([1, 2], "test");
  const odd = await plantCase(folder, "odd", [0, 0, 0, 0, 9, 0]);
  await assert.rejects(loadCase(odd, table), {
    name: "DataError",
    message: /odd_label\.nii\.gz: expected label ids 0, 1, 2, received 9 at voxel \(1, 1, 0\)/,
  });
  const other = await plantCase(folder, "other", [0, 0, 0, 0, 1, 0], [2, 3, 1]);
  await assert.rejects(loadCase(other, table), {
    name: "DataError",
    message: /other_label\.nii\.gz: expected 3 x 2 x 1 voxels as .*other\.nii\.gz has, received 2 x 3 x 1/,
  });
  const { label, ...bare } = odd;
  assert.ok(label);
  await assert.rejects(loadCase(bare, table), {
    name: "DataError",
    message: /case 'odd': expected a label file/,
  });
});

test("tables hold 2 to 254 classes of valid ids", () => {
  assert.deepEqual(makeLabelTable([255, 255], "test").ids, [0, 255]);
  assert.deepEqual(classesOfIds(Uint8Array.of(255, 0, 3), makeLabelTable([255], "test")), { unknownAt: 2 });
  assert.throws(() => makeLabelTable([], "test"), {
    name: "DataError",
    message: /2 to 254 classes.*received 1/,
  });
  const many = Array.from({ length: 255 }, (_, i) => i);
  assert.throws(() => makeLabelTable(many, "test"), { name: "DataError", message: /received 255/ });
  assert.equal(makeLabelTable(many.slice(0, 254), "test").ids.length, 254);
  assert.throws(() => makeLabelTable([-1], "test"), { name: "DataError", message: /received -1/ });
});

test("ids that count as others: merged, exchanged, made background, left out", () => {
  const relabel = { 2: 1, 4: 7, 7: 4, 9: 0, 255: "ignore" } as const;
  const table = makeLabelTable([0, 1, 2, 4, 7, 9, 255], "test", relabel);
  assert.deepEqual(table.ids, [0, 1, 4, 7]);
  assert.deepEqual(classesOfIds(Uint8Array.of(0, 1, 2, 4, 7, 9, 255), table), {
    classes: Uint8Array.of(0, 1, 1, 3, 2, 0, 255),
  });
  assert.deepEqual(classesOfIds(Uint8Array.of(1, 3), table), { unknownAt: 1 });
  const names = { 0: "background", 1: "core", 2: "oedema", 4: "a", 7: "b", 9: "fat", 255: "unclear" };
  assert.deepEqual(relabelNames(names, relabel), { 0: "background", 1: "core + oedema", 4: "b", 7: "a" });
  const [red, green, blue, grey] = [
    [255, 0, 0] as const,
    [0, 255, 0] as const,
    [0, 0, 255] as const,
    [9, 9, 9] as const,
  ];
  assert.deepEqual(relabelColors({ 1: red, 2: green, 4: blue, 9: grey, 255: grey }, relabel), {
    1: red,
    7: blue,
  });
  assert.deepEqual(relabelColors({ 1: red, 2: green }, { 1: 2 }), { 2: green });
});

test("channels come from the fourth axis of a file, or from files of one grid", async (t) => {
  const folder = await temporaryFolder(t);
  const one = join(folder, "one.nii");
  await writeFile(one, niftiBytes(asStored));
  const path = join(folder, "both.nii");
  const volume = niftiBytes(asStored, (view) => {
    view.setInt16(40, 4, true);
    view.setInt16(48, 2, true);
  });
  const second = Buffer.from(volume.subarray(352)).fill(0);
  for (let i = 0; i < 24; i++) second.writeInt16LE(100 + i, 2 * i);
  await writeFile(path, Buffer.concat([volume, second]));
  const [first, other, ...more] = await loadChannels({ id: "both", image: path });
  assert.equal(more.length, 0);
  const course = join(folder, "course.nii");
  await writeFile(
    course,
    niftiBytes((view) => {
      view.setInt16(40, 4, true);
      view.setInt16(48, 5, true);
    }),
  );
  await assert.rejects(loadChannels({ id: "course", image: course }), {
    name: "DataError",
    message: /course\.nii: expected one 3D volume, received 2 x 3 x 4 x 5; choose one of its 5 frames/,
  });
  const [alone] = await loadChannels({ id: "one", image: one });
  assert.deepEqual([first?.shape, first?.data], [alone?.shape, alone?.data]);
  assert.deepEqual(other, { ...first, data: first?.data.map((value) => 100 + value) });

  const files = await loadChannels({ id: "files", image: one, further: [one, one] });
  assert.deepEqual(files, [alone, alone, alone]);
  const { image } = await plantCase(folder, "a", [0, 0, 0, 0, 0, 0]);
  await assert.rejects(loadChannels({ id: "unlike", image: one, further: [image] }), {
    name: "DataError",
    message:
      /a\.nii\.gz: expected 2 x 3 x 4 voxels as .*one\.nii has, received 3 x 2 x 1 voxels; resample the channels/,
  });
});
