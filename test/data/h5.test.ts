import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readImage, readLabels } from "../../src/data/volume-file.js";
import { writeH5 } from "./h5-writer.js";
import { temporaryFolder } from "./nifti-files.js";

/** Value 100 x + 10 y + z at (x, y, z), z fastest. */
const shape = [4, 3, 2] as const;
const values = Array.from(
  { length: 24 },
  (_, i) => 100 * Math.floor(i / 6) + 10 * (Math.floor(i / 2) % 3) + (i % 2),
);

test("image and label are turned from z fastest to x fastest", async (t) => {
  const path = join(await temporaryFolder(t), "a.h5");
  const label = Uint8Array.from(values, (value) => value % 7);
  await writeH5(path, { image: { shape, data: Float32Array.from(values) }, label: { shape, data: label } });
  const image = await readImage(path);
  assert.deepEqual(image.shape, [4, 3, 2]);
  assert.equal(image.spacing, null);
  assert.deepEqual([...image.data.subarray(0, 6)], [0, 100, 200, 300, 10, 110]);
  assert.equal(image.data[12 + 4 * 2 + 3], 321);
  assert.deepEqual(
    (await readLabels(path)).data,
    Uint8Array.from(image.data, (value) => value % 7),
  );
});

test("labels above 255 and labels stored as float keep their ids", async (t) => {
  const path = join(await temporaryFolder(t), "a.h5");
  await writeH5(path, { label: { shape: [1, 1, 3], data: Float64Array.of(0, 300, 7) } });
  assert.deepEqual((await readLabels(path)).data, Uint16Array.of(0, 300, 7));
  await writeH5(path, { label: { shape: [1, 1, 3], data: Float32Array.of(0, 1.5, 7) } });
  await assert.rejects(readLabels(path), {
    name: "DataError",
    message: /received 1.5 at voxel \(0, 0, 1\)/,
  });
});

test("refusals name the file and what was found", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "a.h5");
  const data = Float32Array.from(values);
  await writeH5(path, { other: { shape, data } });
  await assert.rejects(readImage(path), {
    name: "DataError",
    message: /expected a dataset 'image', received other/,
  });
  await writeH5(path, { image: { shape: [6, 4], data } });
  await assert.rejects(readImage(path), {
    name: "DataError",
    message: /one 3D volume, received 2 axes \(6 x 4\)/,
  });
  data[7] = Number.NaN;
  await writeH5(path, { image: { shape, data } });
  await assert.rejects(readImage(path), {
    name: "DataError",
    message: /received NaN at voxel \(1, 0, 1\)/,
  });
  await mkdir(join(folder, "b.h5"));
  await assert.rejects(readImage(join(folder, "b.h5")), { name: "DataError", message: /received a folder/ });
  await assert.rejects(readImage(join(folder, "none.h5")), {
    name: "DataError",
    message: /received ENOENT/,
  });
  await writeFile(path, "no h5 file at all");
  await assert.rejects(readImage(path), { name: "DataError", message: /file signature not found/ });
});

test("cut short or damaged inside: an error, not zeros", async (t) => {
  const path = join(await temporaryFolder(t), "a.h5");
  const large = Float32Array.from({ length: 20 ** 3 }, (_, i) => Math.sin(i));
  await writeH5(path, { image: { shape: [20, 20, 20], data: large } });
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, bytes.length / 2));
  await assert.rejects(readImage(path), { name: "DataError", message: /truncated file/ });
  bytes.fill(0x55, bytes.length - 2000, bytes.length - 1000);
  await writeFile(path, bytes);
  await assert.rejects(readImage(path), { name: "DataError", message: /expected a readable h5 file/ });
});
