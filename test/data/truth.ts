import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readImage } from "../../src/data/volume-file.js";

const truthSchema = z.record(
  z.string(),
  z.object({
    shape: z.array(z.number()),
    spacing: z.array(z.number()).nullable(),
    affine: z.array(z.array(z.number())).nullable(),
    voxels: z.array(z.number()),
  }),
);

/** Reads every file of a folder that its truth.json names, and compares. @returns their number */
export async function compareWithTruth(folder: string): Promise<number> {
  const truth = truthSchema.parse(JSON.parse(await readFile(join(folder, "truth.json"), "utf8")));
  for (const [name, expected] of Object.entries(truth)) {
    const volume = await readImage(join(folder, name));
    assert.deepEqual(volume.shape, expected.shape, name);
    assert.deepEqual(Array.from(volume.data), expected.voxels, name);
    assert.equal(volume.spacing === null, expected.spacing === null, name);
    for (const [axis, step] of (volume.spacing ?? []).entries()) {
      // We keep pixdim where it says the same as the affine, whose float32 cosines are off by some float32 eps.
      assert.ok(Math.abs(step - (expected.spacing?.[axis] ?? 0)) < 1e-5, `${name}: spacing of axis ${axis}`);
    }
    assert.equal(volume.grid === undefined, expected.affine === null, name);
    for (const [i, entry] of (volume.grid?.affine ?? []).flat().entries()) {
      // Both compute in double; products of a quaternion, and steps times extents, are summed in another order: a few
      // double eps of entries up to 77.
      assert.ok(Math.abs(entry - (expected.affine?.flat()[i] ?? 0)) < 1e-12, `${name}: affine entry ${i}`);
    }
  }
  return Object.keys(truth).length;
}
