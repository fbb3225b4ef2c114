import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { gzip } from "../../src/data/gzip.js";
import { asStored, niftiBytes, temporaryFolder } from "./nifti-files.js";

const MB = 2 ** 20;
const module = join(process.cwd(), "dist/src/data/volume-file.js");

/** Peak memory of a process that runs a line of JavaScript after loading the reader, bytes. */
async function peak(line: string): Promise<number> {
  const script = `import * as volumes from ${JSON.stringify(module)}; ${line}; console.log(process.resourceUsage().maxRSS)`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  return Number(stdout) * 1024;
}

test("reading takes one copy of the voxels, writing next to nothing beside it", async (t) => {
  const folder = await temporaryFolder(t);
  const [path, small] = [join(folder, "large.nii.gz"), join(folder, "small.nii.gz")];
  // int16 in the file, float32 in memory; z runs backwards, so that the axes have to be turned.
  const [side, slices] = [256, 384];
  const head = (extents: readonly number[]): Buffer =>
    niftiBytes(asStored, (view) => {
      for (const [i, extent] of [3, ...extents].entries()) view.setInt16(40 + 2 * i, extent, true);
      view.setFloat32(320, -1, true);
    }).subarray(0, 352);
  const slice = Int16Array.from({ length: side * side }, (_, i) => (i * i) % 2000);
  const rest = Array.from({ length: slices }, () => new Uint8Array(slice.buffer));
  await writeFile(path, gzip([head([side, side, slices]), ...rest]));
  await writeFile(small, gzip([head([2, 2, 2]), new Uint8Array(16)]));
  const copy = 4 * side * side * slices;
  const read = (file: string): string => `const image = await volumes.readImage(${JSON.stringify(file)})`;
  const write = `await volumes.writeImage(${JSON.stringify(join(folder, "out.nii.gz"))}, image)`;
  const [without, reading, writing] = [
    await peak(read(small)),
    await peak(read(path)),
    await peak(`${read(path)}; ${write}`),
  ];
  // Pieces of 256 KB, their doubles, and garbage that is not collected yet: up to some 40 MB were seen; a second copy
  // would be 96 MB.
  t.diagnostic(
    `copy ${copy / MB} MB, reading ${(reading - without) / MB} MB, writing ${(writing - without) / MB} MB`,
  );
  assert.ok(reading - without < copy + 64 * MB, `${(reading - without) / MB} MB for ${copy / MB} MB`);
  assert.ok(writing - without < copy + 88 * MB, `${(writing - without) / MB} MB for ${copy / MB} MB`);
});
