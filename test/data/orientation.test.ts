import assert from "node:assert/strict";
import { test } from "node:test";
import { makeGrid } from "../../src/data/nifti-header.js";
import { type Affine, orientationOf, requireOrientation } from "../../src/data/volume.js";
import { DataError } from "../../src/errors.js";

const bottom = [0, 0, 0, 1] as const;

/** A grid with these rows of an affine and an s-form. */
const grid = (...rows: [number, number, number][]) => {
  const affine: Affine = [...rows.map(([x, y, z]) => [x, y, z, 0] as const), bottom];
  return makeGrid({ shape: [2, 2, 2], spacing: [1, 1, 1], affine });
};

test("axes are named by where they point", () => {
  assert.equal(orientationOf(grid([1, 0, 0], [0, 1, 0], [0, 0, 1])), "RAS");
  assert.equal(orientationOf(grid([-1, 0, 0], [0, -1, 0], [0, 0, 1])), "LPS");
  // Columns are the axes: x goes to the front, y to the head, z to the left.
  assert.equal(orientationOf(grid([0, 0, -2], [1, 0, 0], [0, 3, 0])), "ASL");
});

test("oblique axes are named by the nearest direction, each direction once", () => {
  const [c, s] = [Math.cos(0.6), Math.sin(0.6)];
  assert.equal(orientationOf(grid([c, -s, 0], [s, c, 0], [0, 0, 1])), "RAS");
  // Both x and y lie nearest to the right-left axis; x does so more clearly.
  assert.equal(orientationOf(grid([0.9, -0.8, 0], [0.43, 0.6, 0], [0, 0, 1])), "RAS");
  // Thick slices: lengths do not decide.
  assert.equal(orientationOf(grid([0.5, 0, 3], [0, 0.5, 0], [-0.2, 0, 5])), "RAS");
});

test("a header without forms does not say, whatever its byte order", () => {
  const silent = grid([1, 0, 0], [0, 1, 0], [0, 0, 1]);
  silent.header.fill(0, 252, 256);
  assert.equal(orientationOf(silent), undefined);
  // The code 1 of a q-form in big-endian order.
  silent.header[253] = 1;
  assert.equal(orientationOf({ ...silent, littleEndian: false }), "RAS");
});

test("a volume that points elsewhere is refused, one that does not say is not", () => {
  const like = { code: "RAS", of: "case 'a'" };
  requireOrientation("case 'b'", grid([1, 0, 0], [0, 1, 0], [0, 0, 1]), like);
  requireOrientation("case 'b'", undefined, like);
  assert.throws(
    () => requireOrientation("case 'b'", grid([-1, 0, 0], [0, -1, 0], [0, 0, 1]), like),
    (error) =>
      error instanceof DataError &&
      /^case 'b': expected axes RAS \(x, y, z\) as case 'a' has, received LPS; /.test(error.message),
  );
});
