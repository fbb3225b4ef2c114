import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import * as library from "nifti-reader-js";
import { niftiBytes } from "./nifti-files.js";

// What nifti-reader-js 0.8.0 gets wrong and src/data therefore does itself. When one of these tests
// fails, the library was mended: our own code for it may go.

const file = (name: string): ArrayBuffer => {
  const bytes = readFileSync(join(process.cwd(), "test/fixtures/nifti", name));
  return Uint8Array.from(bytes).buffer;
};

test("the q-form wins over the s-form when its code is higher", () => {
  const { affine } = library.readHeader(file("both_forms_q_higher.nii"));
  assert.equal(affine[0]?.[1], 0, "the diagonal q-form, where nibabel takes the oblique s-form");
});

test("a quaternion slightly longer than 1 gives NaN", () => {
  const { affine } = library.readHeader(file("quaternion_too_long.nii"));
  assert.ok(Number.isNaN(affine[0]?.[2]));
});

test("qfac is taken as stored, not as a sign", () => {
  const scaled = niftiBytes((view) => {
    view.setInt16(252, 1, true);
    view.setFloat32(76, -3, true);
  });
  const { affine } = library.readHeader(Uint8Array.from(scaled).buffer);
  assert.equal(affine[2]?.[2], -4.5);
});

test("without a form the origin stays in the corner and x is not flipped", () => {
  const { affine } = library.readHeader(file("no_form.nii"));
  assert.deepEqual([affine[0]?.[0], affine[0]?.[3]], [Math.fround(0.9), 0]);
});

test("a plane with 0 in dim[3] has no voxels", () => {
  const plane = niftiBytes((view) => {
    for (const [i, extent] of [2, 2, 12, 0].entries()) view.setInt16(40 + 2 * i, extent, true);
  });
  const bytes = Uint8Array.from(plane).buffer;
  assert.equal(library.readImage(library.readHeader(bytes), bytes).byteLength, 0);
});

test("extents of axes 6 and 7 are ignored", () => {
  const bytes = Uint8Array.from(
    niftiBytes((view) => {
      for (const [i, extent] of [6, 2, 3, 2, 1, 1, 2].entries()) view.setInt16(40 + 2 * i, extent, true);
    }),
  ).buffer;
  assert.equal(library.readImage(library.readHeader(bytes), bytes).byteLength, 24, "of 48");
});

test("gzip members after the first are dropped without an error, or fail", () => {
  const [whole, packed] = [niftiBytes(), file("three_members.nii.gz")];
  let length = 0;
  try {
    length = library.decompress(packed).byteLength;
  } catch {
    // Also not what the file holds.
  }
  assert.notEqual(length, whole.length);
});

test("NIfTI-2: the q-form is never used", () => {
  const bytes = Uint8Array.from(gunzipSync(new Uint8Array(file("nifti2_qform_little.nii.gz")))).buffer;
  assert.deepEqual(library.readHeader(bytes).affine[0], [0, 0, 0, 0]);
});

test("NIfTI-2, negative 64-bit integers are wrong by 2^64", () => {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigInt64(0, -2n, true);
  assert.equal(library.Utils.getInt64At(view, 0, true), -2 - 2 ** 64);
});

test("NIfTI-2, big-endian: words of unsigned 64-bit integers are swapped", () => {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, 544n, false);
  assert.equal(library.Utils.getUint64At(view, 0, false), 2336462209024);
});

test("a packed file of less than 540 bytes in all: the asynchronous reader never answers", async () => {
  const bytes = Uint8Array.from(gzipSync(niftiBytes())).buffer;
  const answer = library.readHeaderAsync(bytes).then(() => "an answer");
  const silence = new Promise((resolve) => setTimeout(resolve, 200, "none"));
  assert.equal(await Promise.race([answer, silence]), "none");
});

test("any file with 139 as its second byte counts as packed", () => {
  assert.equal(library.isCompressed(Uint8Array.of(0, 139, 0, 0).buffer), true);
});

test("a plain gzip file is still unpacked correctly", () => {
  const bytes = Uint8Array.from(gzipSync(niftiBytes())).buffer;
  assert.equal(library.decompress(bytes).byteLength, niftiBytes().length);
});
