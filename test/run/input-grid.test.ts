import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { resultGrid } from "../../src/data/case-geometry.js";
import { gridFromAffine, Placement, toFileAffine } from "../../src/data/orientation.js";
import { prepareCase } from "../../src/data/prepare.js";
import { plainPlan } from "../../src/data/preprocessing-plan.js";
import type { Affine, ImageVolume, Vec3 } from "../../src/data/volume.js";
import { readImage, readLabels, writeImage, writeLabels } from "../../src/data/volume-file.js";
import { Progress } from "../../src/io/progress.js";
import { writeClasses } from "../../src/run/label-files.js";
import { scoreFolder } from "../../src/run/score-folder.js";
import { temporaryFolder } from "../data/nifti-files.js";

// Whatever way a file's axes run, what is made of it lies on its grid: same places, same bytes of geometry, same scores.

const shape: Vec3 = [7, 5, 6];
const spacing: Vec3 = [0.5, 1.25, 2];
const labelIds = [0, 3, 300];

/** Tilted by a few degrees, so that no entry is 0. */
const memoryAffine: Affine = [
  [0.498, -0.05, 0.1, -20],
  [0.02, 1.2475, 0.125, 35.5],
  [-0.035, -0.0675, 1.993, 12],
  [0, 0, 0, 1],
];

/** The signed permutations of three axes. */
function orientations(): { name: string; axes: Vec3; flips: readonly [boolean, boolean, boolean] }[] {
  const orders: Vec3[] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  return orders.flatMap((axes) =>
    Array.from({ length: 8 }, (_, bits) => {
      const flips = [(bits & 1) > 0, (bits & 2) > 0, (bits & 4) > 0] as const;
      return { name: `${axes.join("")}${flips.map(Number).join("")}`, axes, flips };
    }),
  );
}

/** A value that tells every place of the volume from every other. */
const valueAt = (x: number, y: number, z: number): number => 1 + x + 10 * y + 100 * z;

function volumeIn({ axes, flips }: ReturnType<typeof orientations>[number]): ImageVolume {
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (let z = 0, at = 0; z < shape[2]; z++) {
    for (let y = 0; y < shape[1]; y++) for (let x = 0; x < shape[0]; x++) data[at++] = valueAt(x, y, z);
  }
  return { shape, data, spacing, grid: { affine: memoryAffine, orientation: { axes, flips }, header: null } };
}

test("all 48 orientations: one volume in memory, results on the grid of their file, scores alike", async (t) => {
  const root = await temporaryFolder(t);
  for (const folder of ["images", "results", "turned"]) await mkdir(join(root, folder));
  const all = orientations();
  const plain = all[0];
  assert.ok(plain);
  for (const orientation of all) {
    const image = join(root, "images", `${orientation.name}.nii`);
    await writeImage(image, volumeIn(orientation));
    const source = await readImage(image);
    assert.deepEqual(source.data, volumeIn(plain).data, orientation.name);
    assert.deepEqual(source.grid?.orientation, { axes: orientation.axes, flips: orientation.flips });

    // As `predict` and the stages of a run write labels: class by class from the prepared image.
    const prepared = await prepareCase(
      { id: orientation.name, image },
      { needLabel: false, labelIds: undefined, plan: plainPlan },
    );
    const classes = Uint8Array.from(source.data, (value) => value % 3);
    const result = join(root, "results", `${orientation.name}.nii`);
    await writeClasses(result, classes, resultGrid(prepared.geometry), labelIds);
    prepared.image.dispose();

    await checkPlaces(result, image, orientation.name);
    // The references have all their axes the other way round.
    const reference = {
      ...orientation,
      flips: orientation.flips.map((flip) => !flip) as unknown as typeof orientation.flips,
    };
    const labels = await readLabels(result);
    const turned = {
      ...labels,
      grid: { ...volumeIn(reference).grid, affine: memoryAffine } as ImageVolume["grid"] & object,
    };
    await writeLabels(join(root, "turned", `${orientation.name}.nii`), turned, turned);
  }
  const { scores, failures } = await scoreFolder(join(root, "results"), join(root, "turned"), {
    progress: new Progress({ quiet: true }),
  });
  assert.deepEqual(failures, {});
  assert.equal(scores.length, 48);
  for (const { id, classes } of scores) {
    assert.deepEqual(classes, scores[0]?.classes, id);
    assert.ok(
      classes.every(({ metrics }) => metrics.Dice === 1),
      id,
    );
  }
});

/** Reads the bytes of both files by themselves: the header's geometry, and what stands at each place. */
async function checkPlaces(result: string, image: string, name: string): Promise<void> {
  const [labels, voxels] = [await readFile(result), await readFile(image)];
  for (const [from, to] of [
    [40, 56],
    [76, 108],
    [123, 124],
    [252, 328],
  ]) {
    assert.deepEqual(labels.subarray(from, to), voxels.subarray(from, to), `${name}: bytes ${from}..${to}`);
  }
  for (let i = 0; i < shape[0] * shape[1] * shape[2]; i++) {
    const expected = labelIds[voxels.readFloatLE(352 + 4 * i) % 3];
    assert.equal(labels.readUInt16LE(352 + 2 * i), expected, `${name}: voxel ${i} of the file`);
  }
}

test("a prediction on another grid is refused, with what differs", async (t) => {
  const root = await temporaryFolder(t);
  for (const folder of ["a", "b"]) await mkdir(join(root, folder));
  const [plain] = orientations();
  assert.ok(plain);
  const volume = volumeIn(plain);
  const labels = { ...volume, data: Uint8Array.from(volume.data, (value) => value % 3) };
  const moved = (change: (affine: number[][]) => void): typeof labels => {
    const affine = memoryAffine.map((row) => [...row]);
    change(affine);
    return { ...labels, grid: gridFromAffine(affine as unknown as Affine, shape) };
  };
  const cases: readonly (readonly [string, typeof labels, RegExp])[] = [
    [
      "origin",
      moved((affine) => {
        affine[0]?.splice(3, 1, -20.5);
      }),
      /expected origin \(-20, 35\.5, 12\) mm as .* received \(-20\.5, 35\.5, 12\); resample/,
    ],
    [
      "spacing",
      moved((affine) => {
        for (const row of affine) row.splice(2, 1, 1.5 * (row[2] ?? 0));
      }),
      /expected spacing \(0\.499.*, 1\.999.*received \(0\.499.*, 2\.999/,
    ],
    [
      "direction",
      moved((affine) => {
        affine[1]?.splice(0, 1, 0.12);
      }),
      /expected (axes along|spacing)/,
    ],
    ["shape", { ...labels, shape: [7, 6, 5] }, /expected 7 x 5 x 6 voxels as .* received 7 x 6 x 5 voxels/],
  ];
  for (const [name, prediction, message] of cases) {
    await writeLabels(join(root, "a", `${name}.nii.gz`), prediction, prediction);
    await writeLabels(join(root, "b", `${name}.nii.gz`), labels, labels);
    const { failures } = await scoreFolder(join(root, "a"), join(root, "b"), {
      progress: new Progress({ quiet: true }),
    });
    assert.match(failures[name] ?? "none", message);
  }
  // Moved by one voxel of 0.5 mm, resampling finds the ids again but for the plane that left the volume.
  const { scores, failures: none } = await scoreFolder(join(root, "a"), join(root, "b"), {
    progress: new Progress({ quiet: true }),
    resample: true,
  });
  assert.deepEqual(none, {});
  assert.deepEqual(
    scores.map(({ id }) => id),
    ["direction", "origin", "shape", "spacing"],
  );
  // A tenth of a voxel is what headers may be off.
  const near = moved((affine) => {
    affine[0]?.splice(3, 1, -20.04);
  });
  await writeLabels(join(root, "a", "near.nii.gz"), near, near);
  await writeLabels(join(root, "b", "near.nii.gz"), labels, labels);
  const { failures } = await scoreFolder(join(root, "a"), join(root, "b"), {
    progress: new Progress({ quiet: true }),
  });
  assert.equal(failures.near, undefined);
});

test("scatter and gather are each other's inverse in pieces of any length", () => {
  for (const { axes, flips } of orientations()) {
    const placement = new Placement(shape, { axes, flips });
    const total = shape[0] * shape[1] * shape[2];
    const values = Float64Array.from({ length: total }, (_, i) => i);
    const memory = new Float32Array(total);
    for (let start = 0; start < total; start += 11) {
      const count = Math.min(11, total - start);
      placement.scatter(values.subarray(start, start + count), count, start, memory);
    }
    const out = new Float32Array(total - 3);
    placement.gather(memory, 3, out);
    assert.deepEqual([...out], [...values.subarray(3)]);
    const affine = toFileAffine(memoryAffine, { axes, flips }, shape);
    assert.equal(affine.length, 4);
  }
});
