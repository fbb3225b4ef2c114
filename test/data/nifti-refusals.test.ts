import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { readImage } from "../../src/data/volume-file.js";
import { type Edit, niftiBytes, temporaryFolder } from "./nifti-files.js";

const word =
  (offset: number, value: number): Edit =>
  (view) =>
    view.setInt16(offset, value, true);
const float =
  (offset: number, value: number): Edit =>
  (view) =>
    view.setFloat32(offset, value, true);
const type = (code: number, bits: number): Edit[] => [word(70, code), word(72, bits)];
const magic =
  (text: string): Edit =>
  (view) => {
    for (let i = 0; i < 4; i++) view.setUint8(344 + i, text.charCodeAt(i));
  };

/** Damaged or unsupported content, and what the one-line error must say. */
const REFUSED: readonly (readonly [string, Buffer, RegExp])[] = [
  ["NIfTI-2 cut short", niftiBytes((view) => view.setInt32(0, 540, true)), /a file of 400 bytes/],
  [
    "NIfTI-2 without magic",
    Buffer.concat([niftiBytes((view) => view.setInt32(0, 540, false)), Buffer.alloc(200)]),
    /another file \(size field 469893120/,
  ],
  ["2D", niftiBytes(word(40, 2), word(46, 0)), /one 3D volume, received 2 axes \(2 x 3\); put the slices/],
  ["pair", niftiBytes(magic("ni1\0")), /\.hdr\/\.img pair/],
  ["wrong magic", niftiBytes(magic("abc\0")), /another file \(size field 348, magic "abc\\u0000"\)/],
  ["magic not ended", niftiBytes(magic("n+1x")), /another file/],
  ["wrong size field", niftiBytes((view) => view.setInt32(0, 7, true)), /another file \(size field 7/],
  [
    "4D",
    niftiBytes(word(40, 4), word(48, 2)),
    /one 3D volume, received 2 x 3 x 4 x 2; choose one of its 2 frames, counted from 0, by --frame/,
  ],
  ["6D", niftiBytes(word(40, 6), word(52, 2)), /one 3D volume, received 2 x 3 x 4 x 1 x 1 x 2/],
  ["no dimensions", niftiBytes(word(40, 0)), /1 to 7 for the number of dimensions, received 0/],
  ["empty", niftiBytes(word(44, 0)), /at least 1 voxel along every axis, received 2 x 0 x 4/],
  ["negative extent", niftiBytes(word(42, -2)), /at least 1 voxel along every axis, received -2 x 3 x 4/],
  ["RGB", niftiBytes(...type(128, 24)), /integer or float voxels, received RGB voxels/],
  ["RGBA", niftiBytes(...type(2304, 32)), /received RGBA voxels/],
  ["complex", niftiBytes(...type(32, 64)), /received complex64 voxels/],
  ["unknown type", niftiBytes(...type(77, 16)), /received datatype code 77/],
  ["type and bits", niftiBytes(...type(4, 32)), /16 bits per voxel for int16, received 32/],
  ["spacing 0", niftiBytes(float(80, 0)), /voxel spacing \(pixdim\), received 0, 1, 1.5/],
  ["spacing NaN", niftiBytes(float(88, Number.NaN)), /finite numbers for the affine, received .*NaN/],
  ["vox_offset", niftiBytes(float(108, 348)), /352 or more for vox_offset, received 348/],
  ["scl_inter", niftiBytes(float(112, 1), float(116, Number.NaN)), /a number for scl_inter, received NaN/],
  ["s-form flat", niftiBytes(word(254, 1)), /three axes in different directions for the s-form/],
  ["s-form NaN", niftiBytes(word(254, 1), float(280, Number.NaN)), /finite numbers for the affine/],
  ["quaternion", niftiBytes(word(252, 1), float(256, 2)), /unit quaternion/],
  [
    "voxels missing",
    niftiBytes().subarray(0, 399),
    /expected 24 voxels.*\(2 x 3 x 4, int16\), received fewer/,
  ],
  ["voxels too many", Buffer.concat([niftiBytes(), Buffer.alloc(2)]), /expected 24 voxels.*received more/],
  ["terabytes promised", niftiBytes(word(42, 32767), word(44, 32767), word(46, 32767)), /received fewer/],
  ["packed terabytes", gzipSync(niftiBytes(word(42, 32767), word(44, 32767))), /received fewer/],
  ["header cut short", niftiBytes().subarray(0, 300), /a file of 300 bytes/],
  ["empty file", Buffer.alloc(0), /a file of 0 bytes/],
  ["gz cut short", gzipSync(niftiBytes()).subarray(0, 60), /gzip data that end too early/],
  ["gz of too few", gzipSync(niftiBytes().subarray(0, 396)), /expected 24 voxels.*received only 22/],
  ["gz damaged", damaged(gzipSync(niftiBytes())), /damaged gzip data/],
  ["no image", Buffer.from("hello, this is text\n".repeat(30)), /another file/],
];

function damaged(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(0, bytes.length - 8); // the checksum
  return bytes;
}

for (const [name, bytes, message] of REFUSED) {
  test(`refused in one line: ${name}`, async (t) => {
    const path = join(await temporaryFolder(t), "bad.nii");
    await writeFile(path, bytes);
    await assert.rejects(readImage(path), (error: Error) => {
      assert.equal(error.name, "DataError");
      assert.ok(
        error.message.startsWith(`${path}: expected `) && !error.message.includes("\n"),
        error.message,
      );
      assert.match(error.message, message);
      return true;
    });
  });
}

test("the first voxel that is not finite is named, after scaling as well", async (t) => {
  const path = join(await temporaryFolder(t), "bad.nii");
  const floats = Buffer.alloc(352 + 96);
  niftiBytes(...type(16, 32)).copy(floats, 0, 0, 352);
  floats.writeFloatLE(Number.NaN, 352 + 4 * 9);
  floats.writeFloatLE(Number.POSITIVE_INFINITY, 352 + 4 * 12);
  await writeFile(path, floats);
  await assert.rejects(readImage(path), { name: "DataError", message: /received NaN at voxel \(1, 1, 1\)/ });
  await writeFile(path, niftiBytes(float(112, 1e38)));
  await assert.rejects(readImage(path), { message: /at voxel \(0, 2, 0\)/ });
});

test("paths that are no readable file", async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, "folder.nii"));
  await assert.rejects(readImage(join(folder, "folder.nii")), {
    name: "DataError",
    message: /received a folder/,
  });
  await assert.rejects(readImage(join(folder, "none.nii")), {
    name: "DataError",
    message: /none\.nii: expected a readable .* received nothing at this path/,
  });
});

test("a slope of 0 or NaN leaves the values as stored; trailing extents beyond the rank do not count", async (t) => {
  const path = join(await temporaryFolder(t), "good.nii");
  for (const slope of [0, Number.NaN]) {
    await writeFile(path, niftiBytes(float(112, slope), float(116, 7), word(48, 0), word(50, 9)));
    assert.equal((await readImage(path)).data.at(-2), 23, "x runs the other way without a form");
  }
});
