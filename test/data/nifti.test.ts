import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { ImageVolume, LabelVolume } from "../../src/data/volume.js";
import { readImage, readLabels, writeImage, writeLabels } from "../../src/data/volume-file.js";
import { version } from "../../src/version.js";
import { asStored, niftiBytes, temporaryFolder } from "./nifti-files.js";
import { compareWithTruth } from "./truth.js";

const FIXTURES = join(process.cwd(), "test/fixtures/nifti");

test("every version, type, byte order, form and packing reads as nibabel reads it, in RAS+", async () => {
  assert.equal(await compareWithTruth(FIXTURES), 35);
});

test("written files keep every header field of the grid and change those of the voxels", async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of [
    "i2_little.nii",
    "f8_big.nii",
    "trailing_ones.nii",
    "both_forms_q_higher.nii",
    "turned.nii",
  ]) {
    const image = await readImage(join(FIXTURES, name));
    const labels: LabelVolume = { ...image, data: Uint8Array.from(image.data, (_, i) => i % 5) };
    const path = join(folder, name);
    await writeLabels(path, labels, image);
    const again = await readLabels(path);
    assert.deepEqual(again.data, labels.data);
    assert.deepEqual(again.grid?.affine, image.grid?.affine);
    assert.deepEqual(again.spacing, image.spacing);
    const before = await readFile(join(FIXTURES, name));
    const after = await readFile(path);
    // dim_info..dims, pixdim, xyzt_units, toffset, both forms with codes, quaternion, offsets and rows.
    for (const [from, to] of [
      [0, 56],
      [76, 108],
      [123, 124],
      [132, 140],
      [228, 328],
    ]) {
      assert.deepEqual(after.subarray(from, to), before.subarray(from, to), `${name}: bytes ${from}..${to}`);
    }
    const view = new DataView(after.buffer, after.byteOffset);
    const little = view.getInt32(0, true) === 348;
    const words = [68, 70, 72].map((offset) => view.getInt16(offset, little));
    assert.deepEqual(words, [1002, 2, 8], "intent, datatype, bits");
    const floats = [108, 112, 116, 124, 128].map((offset) => view.getFloat32(offset, little));
    assert.deepEqual(floats, [352, 1, 0, 0, 0], "vox_offset, slope, inter, cal_max, cal_min");
    assert.equal(after.toString("latin1", 148, 228).replace(/\0+$/, ""), `sfr ${version}`);
    assert.equal(after.length, 352 + labels.data.length);
  }
});

test("a NIfTI-2 image gets NIfTI-2 labels with its header", async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of ["nifti2_little.nii", "nifti2_big.nii"]) {
    const image = await readImage(join(FIXTURES, name));
    const labels: LabelVolume = { ...image, data: Uint8Array.from(image.data, (_, i) => i % 5) };
    const path = join(folder, name);
    await writeLabels(path, labels, image);
    assert.deepEqual(await readLabels(path), {
      ...labels,
      grid: { ...image.grid, header: (await readLabels(path)).grid?.header },
    });
    const [before, after] = [await readFile(join(FIXTURES, name)), await readFile(path)];
    // dim, pixdim; slice_duration to slice_end; forms, quaternion, offsets and rows, slice_code, units.
    for (const [from, to] of [
      [16, 80],
      [104, 168],
      [208, 240],
      [344, 504],
    ]) {
      assert.deepEqual(after.subarray(from, to), before.subarray(from, to), `${name}: bytes ${from}..${to}`);
    }
    assert.equal(after.length, 544 + 24);
  }
});

test("ids above 255 are written as uint16, images as float32, in the byte order of the source", async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of ["i2_little.nii", "i2_big.nii"]) {
    const image = await readImage(join(FIXTURES, name));
    const labels: LabelVolume = { ...image, data: Uint16Array.from(image.data, (_, i) => 100 * i) };
    const path = join(folder, `${name}.gz`);
    await writeLabels(path, labels, image);
    const again = await readLabels(path);
    assert.ok(again.data instanceof Uint16Array);
    assert.deepEqual(again.data, labels.data);
    await writeImage(path, image);
    assert.deepEqual((await readImage(path)).data, image.data);
  }
});

test("packed output has the same bytes every time and no time stamp", async (t) => {
  const folder = await temporaryFolder(t);
  const image = await readImage(join(FIXTURES, "i2_little.nii"));
  const [a, b] = [join(folder, "a.nii.gz"), join(folder, "b.nii.gz")];
  await writeImage(a, image);
  await writeImage(b, image);
  const bytes = await readFile(a);
  assert.deepEqual(await readFile(b), bytes);
  assert.equal(bytes.readUInt32LE(4), 0);
});

test("a volume without a grid gets its spacing, or 1 with unknown unit, as affine", async (t) => {
  const path = join(await temporaryFolder(t), "x.nii");
  const image: ImageVolume = { shape: [2, 1, 1], data: Float32Array.of(1, 2), spacing: null };
  await writeImage(path, image);
  const read = await readImage(path);
  assert.deepEqual(read.spacing, [1, 1, 1]);
  assert.deepEqual(read.grid?.affine, [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
  ]);
  assert.equal((await readFile(path))[123], 0);
  await writeImage(path, { ...image, spacing: [0.5, 2, 3] });
  assert.deepEqual((await readImage(path)).grid?.affine[1], [0, 2, 0, 0]);
});

test("voxels and pieces that do not end together are put together", async (t) => {
  // A gap of more than one piece (256 KiB), at an odd place, so that pieces cut voxels apart.
  const path = join(await temporaryFolder(t), "odd.nii.gz");
  const count = 3 * 25001;
  const offset = 300001;
  const bytes = Buffer.alloc(offset + 8 * count);
  niftiBytes(asStored, (view) => {
    for (const [i, extent] of [3, 3, 25001, 1].entries()) view.setInt16(40 + 2 * i, extent, true);
    view.setInt16(70, 64, true);
    view.setInt16(72, 64, true);
    view.setFloat32(108, offset, true);
  }).copy(bytes, 0, 0, 352);
  for (let i = 0; i < count; i++) bytes.writeDoubleLE(i + 0.5, offset + 8 * i);
  await writeFile(path, gzipSync(bytes));
  const { data } = await readImage(path);
  assert.equal(data.length, count);
  assert.ok(data.every((value, i) => value === i + 0.5));
});

test("label ids: stored as float, through a scale, and their refusals", async (t) => {
  const path = join(await temporaryFolder(t), "label.nii");
  const asFloat = (values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(352 + 4 * values.length);
    niftiBytes(asStored, (view) => {
      for (const [i, extent] of [3, values.length, 1, 1].entries()) view.setInt16(40 + 2 * i, extent, true);
      view.setInt16(70, 16, true);
      view.setInt16(72, 32, true);
    }).copy(bytes, 0, 0, 352);
    for (const [i, value] of values.entries()) bytes.writeFloatLE(value, 352 + 4 * i);
    return bytes;
  };
  await writeFile(path, asFloat([0, 14, 255]));
  assert.deepEqual((await readLabels(path)).data, Uint8Array.of(0, 14, 255));
  await writeFile(path, asFloat([0, 14, 65535]));
  assert.deepEqual((await readLabels(path)).data, Uint16Array.of(0, 14, 65535));
  // 0.1 as float32 is a little above 0.1, so 10 * slope is not exactly 1.
  const scaled = asFloat([0, 10, 30]);
  scaled.writeFloatLE(0.1, 112);
  await writeFile(path, scaled);
  assert.deepEqual((await readLabels(path)).data, Uint8Array.of(0, 1, 3));
  for (const wrong of [0.5, -1, 65536, Number.NaN]) {
    await writeFile(path, asFloat([0, 1, wrong]));
    await assert.rejects(readLabels(path), {
      name: "DataError",
      message: new RegExp(
        `label\\.nii: expected whole numbers 0\\.\\.65535.*received ${wrong} at voxel \\(2, 0, 0\\)`,
      ),
    });
  }
});

test("labels of another shape are not written on the grid", async (t) => {
  const path = join(await temporaryFolder(t), "x.nii.gz");
  const image = await readImage(join(FIXTURES, "i2_little.nii"));
  const labels: LabelVolume = { shape: [4, 3, 2], data: new Uint8Array(24), spacing: null };
  await assert.rejects(writeLabels(path, labels, image), {
    name: "DataError",
    message: /expected 3 x 4 x 2 voxels as its image has, received 4 x 3 x 2/,
  });
});
