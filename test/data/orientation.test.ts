import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { z } from "zod";
import {
  closestOrientation,
  orientationLetters,
  toFileAffine,
  toFileOrder,
  toMemoryAffine,
  toMemoryOrder,
} from "../../src/data/orientation.js";
import type { Affine, Vec3 } from "../../src/data/volume.js";

const affineSchema = z.array(z.tuple([z.number(), z.number(), z.number(), z.number()]));
const vec3 = z.tuple([z.number(), z.number(), z.number()]);

/** What nibabel says of affines of 2 x 3 x 4 voxels (test/oracle/make-nifti.py). */
const schema = z.array(
  z.object({
    affine: affineSchema,
    axes: vec3,
    flips: z.array(z.boolean()),
    letters: z.string(),
    memory: affineSchema,
  }),
);

const close = (a: Affine, b: Affine, what: string): void => {
  for (const [i, entry] of a.flat().entries()) {
    // Origins of up to 100 mm plus extents times steps, in double.
    assert.ok(Math.abs(entry - (b.flat()[i] ?? 0)) < 1e-12, `${what}: entry ${i}`);
  }
};

test("all 48 orientations, tilted, oblique and sheared: as nibabel, and back", async () => {
  const path = join(process.cwd(), "test/fixtures/nifti/orientations.json");
  const records = schema.parse(JSON.parse(await readFile(path, "utf8")));
  assert.equal(new Set(records.slice(0, 96).map(({ letters }) => letters)).size, 48);
  for (const [index, { affine, axes, flips, letters, memory }] of records.entries()) {
    const found = closestOrientation(affine);
    assert.deepEqual(found, { axes, flips }, `affine ${index}`);
    assert.ok(found);
    assert.equal(orientationLetters(found), letters);
    const fileShape: Vec3 = [2, 3, 4];
    const shape = toMemoryOrder(fileShape, found);
    close(toMemoryAffine(affine, found, shape), memory, `affine ${index}`);
    close(toFileAffine(toMemoryAffine(affine, found, shape), found, shape), affine, `affine ${index}, back`);
    assert.deepEqual(toFileOrder(shape, found), fileShape);
  }
});

test("axes that span no volume have no orientation; a tie takes the first axis, up to rounding", () => {
  const rows = (columns: Vec3[]): Affine =>
    [0, 1, 2].map((r) => [columns[0]?.[r] ?? 0, columns[1]?.[r] ?? 0, columns[2]?.[r] ?? 0, 0] as const);
  assert.equal(
    closestOrientation(
      rows([
        [1, 0, 0],
        [2, 0, 0],
        [0, 0, 1],
      ]),
    ),
    null,
  );
  assert.equal(
    closestOrientation(
      rows([
        [1, 0, 0],
        [0, 0, 0],
        [0, 0, 1],
      ]),
    ),
    null,
  );
  const tie = Math.SQRT1_2;
  for (const rounding of [-1e-7, 0, 1e-7]) {
    const turned = rows([
      [tie + rounding, tie, 0],
      [-tie, tie + rounding, 0],
      [0, 0, 1],
    ]);
    assert.deepEqual(closestOrientation(turned)?.axes, [0, 1, 2]);
  }
});
