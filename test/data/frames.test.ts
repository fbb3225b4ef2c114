import assert from "node:assert/strict";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { readGrid, readImage, readLabels, writeLabels } from "../../src/data/volume-file.js";
import { asStored, niftiBytes, temporaryFolder } from "./nifti-files.js";

const SHAPE = [2, 3, 4] as const;
const COUNT = 24;

/** int16 voxels of three volumes: 0..23, 100..123, 200..223. */
const voxels = (): Buffer =>
  Buffer.from(
    Int16Array.from({ length: 3 * COUNT }, (_, i) => 100 * Math.floor(i / COUNT) + (i % COUNT)).buffer,
  );

const nifti4D = (): Buffer => {
  const head = niftiBytes(asStored, (view) => {
    view.setInt16(40, 4, true);
    view.setInt16(48, 3, true);
    view.setFloat32(92, 2.5, true); // seconds from volume to volume
  });
  return Buffer.concat([head.subarray(0, 352), voxels()]);
};

const text4D = (...lines: string[]): Buffer =>
  Buffer.concat([Buffer.from(`${lines.join("\n")}\n`), voxels()]);
const nrrdLines = (...directions: string[]): string[] => [
  ...["NRRD0005", "type: short", "dimension: 4", "sizes: 2 3 4 3", "encoding: raw", "endian: little"],
  ...["space: right-anterior-superior", ...directions, "kinds: domain domain domain list", ""],
];
const meta = [
  ...["NDims = 4", "DimSize = 2 3 4 3", "ElementType = MET_SHORT", "BinaryData = True"],
  ...["ElementSpacing = 1 2 3 9", "Offset = 5 6 7 0", "TransformMatrix = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"],
  "ElementDataFile = LOCAL",
];

/** The same three volumes in every container that can hold them. */
const FILES: readonly (readonly [string, Buffer])[] = [
  ["plain.nii", nifti4D()],
  ["packed.nii.gz", gzipSync(nifti4D())],
  ["a.nrrd", text4D(...nrrdLines("space directions: (1,0,0) (0,2,0) (0,0,3) none"))],
  ["a.mha", text4D(...meta)],
];

test("a frame of a 4D file is one volume of it; without one it is refused with the way to choose", async (t) => {
  const folder = await temporaryFolder(t);
  for (const [name, bytes] of FILES) {
    const path = join(folder, name);
    await writeFile(path, bytes);
    await assert.rejects(readImage(path), {
      name: "DataError",
      message: `${path}: expected one 3D volume, received 2 x 3 x 4 x 3; choose one of its 3 frames, counted from 0, by --frame (data.frame in a configuration)`,
    });
    await assert.rejects(readLabels(path), { message: /2 x 3 x 4 x 3; split the file/ });
    await assert.rejects(readImage(path, 3), {
      name: "DataError",
      message: /expected a file of more than 3 volumes for frame 3, received 3; choose another frame/,
    });
    for (const frame of [0, 1, 2]) {
      const { shape, data } = await readImage(path, frame);
      assert.deepEqual(shape, SHAPE, name);
      // LPS of MetaImage: x and y run the other way in memory.
      const first = name.endsWith(".mha") ? 5 : 0;
      assert.deepEqual(
        [data[0], Math.max(...data), data.length],
        [100 * frame + first, 100 * frame + 23, COUNT],
      );
    }
  }
});

test("a 3D file is its own frame 0 and has no other; 5D files and frames between voxels stay refused", async (t) => {
  const path = join(await temporaryFolder(t), "a.nii");
  await writeFile(path, niftiBytes(asStored));
  assert.deepEqual(await readImage(path, 0), await readImage(path));
  await assert.rejects(readImage(path, 1), { message: /more than 1 volumes for frame 1, received 1/ });
  await writeFile(
    path,
    niftiBytes((view) => {
      for (const [i, extent] of [5, 2, 3, 2, 1, 2].entries()) view.setInt16(40 + 2 * i, extent, true);
    }),
  );
  await assert.rejects(readImage(path, 0), { message: /received 2 x 3 x 2 x 1 x 2; split the file/ });
  const nrrd = path.replace(".nii", ".nrrd");
  for (const line of ["space directions: none (1,0,0) (0,2,0) (0,0,3)", "spacings: 1 2 3 4"]) {
    await writeFile(nrrd, text4D(...nrrdLines(line)));
    await assert.rejects(readImage(nrrd, 0), { message: /received 4 axes .*write each component/ });
  }
});

test("results of a frame are 3D and lie where it lies", async (t) => {
  const folder = await temporaryFolder(t);
  for (const [name, bytes] of FILES) {
    const [path, out] = [join(folder, name), join(folder, `out_${name}`)];
    await writeFile(path, bytes);
    const image = await readImage(path, 1);
    await writeLabels(out, { ...image, data: Uint8Array.from(image.data) }, image);
    const labels = await readLabels(out);
    assert.deepEqual([...labels.data], [...image.data], name);
    assert.deepEqual([labels.grid?.affine, labels.spacing], [image.grid?.affine, image.spacing], name);
    assert.deepEqual((await readGrid(out)).shape, SHAPE);
  }
  const head = await readFile(join(folder, "out_plain.nii"));
  const words = Array.from({ length: 8 }, (_, i) => head.readInt16LE(40 + 2 * i));
  assert.deepEqual(words, [3, 2, 3, 4, 1, 1, 1, 1]);
});

/** What this process has read of files so far. */
async function bytesRead(): Promise<number> {
  return Number(/rchar: (\d+)/.exec(await readFile("/proc/self/io", "utf8"))?.[1]);
}

test("what follows a frame is not read, what stands before it only where the file is packed", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "large.nii");
  // 1000 volumes of 2 MB, of which the disk holds none but the header and one voxel.
  const head = niftiBytes(asStored, (view) => {
    for (const [i, extent] of [4, 128, 128, 64, 1000].entries()) view.setInt16(40 + 2 * i, extent, true);
  }).subarray(0, 352);
  const bytes = 2 * 128 * 128 * 64;
  await writeFile(path, head);
  await truncate(path, 352 + 1000 * bytes);
  const before = await bytesRead();
  const { data } = await readImage(path, 500);
  assert.equal(data.length, bytes / 2);
  // The frame's 2 MB, the header, and what was asked of the disk ahead of time; all before it are 1 GB.
  const read = (await bytesRead()) - before;
  assert.ok(read > bytes && read < 5 * bytes, `${read} bytes`);
  const packed = join(folder, "cut.nii.gz");
  const many = Buffer.alloc(352 + 20 * bytes);
  head.copy(many);
  const whole = gzipSync(many, { level: 1 });
  // The end is lost: only whoever reads on sees it.
  await writeFile(packed, whole.subarray(0, whole.length - 1000));
  assert.equal((await readImage(packed, 1)).data.length, bytes / 2);
});
