import assert from "node:assert/strict";
import { test } from "node:test";
import type { Vec3 } from "../../src/data/volume.js";
import { type Slice, stackSlices } from "../../src/dicom/slices.js";

/** Slice `i` of an axial stack, 2.5 mm apart, with rounding as scanners write it. */
const slice = (i: number, more: Partial<Slice> = {}): Slice => ({
  name: `${i}.dcm`,
  series: "1.2",
  rows: 4,
  columns: 6,
  position: [-10, 5, Number((30.123 + 2.5 * i).toFixed(2))],
  alongRow: [1, 0, 0],
  alongColumn: [0, 1, 0],
  pixelSpacing: [0.8, 0.7],
  ...more,
});
const stack = [3, 0, 4, 1, 2].map((i) => slice(i));

test("slices are sorted by place, whatever their names; steps are the mean of the stack", () => {
  const { slices, columns } = stackSlices("ct", stack);
  assert.deepEqual(
    slices.map(({ name }) => name),
    ["0.dcm", "1.dcm", "2.dcm", "3.dcm", "4.dcm"],
  );
  assert.deepEqual(
    [columns[0], columns[1], columns[3]],
    [
      [0.7, 0, 0],
      [0, 0.8, 0],
      [-10, 5, 30.12],
    ],
  );
  // 40.12 - 30.12 in doubles is off by an eps of 40.
  assert.ok(Math.abs(columns[2][2] - 2.5) < 1e-14, `${columns[2]}`);
  // Planes that face the other way are counted along their own normal.
  const turned = stackSlices(
    "ct",
    stack.map((item) => ({ ...item, alongColumn: [0, -1, 0] as const })),
  );
  assert.deepEqual([turned.slices[0]?.name, Math.sign(turned.columns[2][2])], ["4.dcm", -1]);
});

const at = (position: Vec3) => ({ position });

/** Series that make no volume, and what the one-line error must say. */
const REFUSED: readonly (readonly [string, readonly Slice[], RegExp])[] = [
  ["nothing", [], /at least 2 slices of a series, received 0/],
  ["one slice", [slice(0)], /at least 2 slices of a series, received 1/],
  [
    "a gap",
    [0, 1, 2, 4, 5].map((i) => slice(i)),
    /2\.5 mm from slice to slice, received 5 mm between 2\.dcm and 4\.dcm/,
  ],
  [
    "spacing that varies",
    [0, 2.5, 5, 8, 11].map((z, i) => slice(i, at([-10, 5, z]))),
    /2\.5 mm from slice to slice, received 3 mm between 2\.dcm and 3\.dcm/,
  ],
  [
    "spacing that grows, each step like the others",
    Array.from({ length: 20 }, (_, i) => slice(i, at([-10, 5, i < 10 ? 2.5 * i : 2.6 * i - 1]))),
    /expected slices every 2\.547 mm, received 6\.dcm 0\.2842 mm from its place/,
  ],
  ["a duplicate", [...stack, slice(2, { name: "copy.dcm" })], /received 2\.dcm and copy\.dcm at the same/],
  ["all at one place", [slice(0), slice(0, { name: "b.dcm" })], /received 0\.dcm and b\.dcm at the same/],
  [
    "gantry tilt",
    [0, 1, 2, 3].map((i) => slice(i, at([-10, 5 + 0.6 * i, 2.5 * i]))),
    /a stack that leans over by 1\.8 mm \(gantry tilt\)/,
  ],
  ["two series", [...stack, slice(5, { series: "1.3" })], /slices of one series, received 3\.dcm and 5\.dcm/],
  ["two sizes", [...stack, slice(5, { rows: 5 })], /slices of one size/],
  ["two directions", [...stack, slice(5, { alongRow: [0.6, 0.8, 0] })], /slices of one direction/],
  [
    "directions that are none",
    stack.map((item) => ({ ...item, alongRow: [2, 0, 0] as const })),
    /two directions of length 1 at right angles for ImageOrientationPatient, received 2,0,0/,
  ],
  ["two spacings", [...stack, slice(5, { pixelSpacing: [0.8, 0.9] })], /slices of one pixel spacing/],
  ["no place", stack.map((item) => ({ ...item, position: [Number.NaN, 0, 0] as const })), /at the same/],
];

for (const [name, slices, message] of REFUSED) {
  test(`refused in one line: ${name}`, () => {
    assert.throws(
      () => stackSlices("ct", slices),
      (error: Error) => {
        assert.equal(error.name, "DataError");
        assert.match(error.message, /^ct: expected [^\n]+; [^\n]+$/);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}
