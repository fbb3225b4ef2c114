import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { test } from "node:test";
import { readImage, readLabels } from "../../src/data/volume-file.js";
import { fuzz, type Reader } from "./fuzz.js";
import { writeH5 } from "./h5-writer.js";
import { temporaryFolder } from "./nifti-files.js";

const FIXTURES = join(process.cwd(), "test/fixtures");

/** Files to damage, bytes of their headers, and how often. */
const BASES: readonly (readonly [file: string, head: number, rounds: number])[] = [
  ["nifti/turned.nii", 352, 500],
  ["nifti/i8_big.nii", 352, 300],
  ["nifti/nifti2_big.nii", 544, 500],
  ["nifti/three_members.nii.gz", 222, 200],
  ["volumes/hand_ras_big.nrrd", 250, 500],
  ["volumes/i2.nrrd", 300, 300],
  ["volumes/pair.nhdr", 400, 300],
  ["volumes/u2.mha", 400, 300],
  ["volumes/hand_big.mha", 200, 500],
  ["volumes/two.mhd", 400, 300],
  ["volumes/c_order.npz", 1000, 500],
  ["volumes/fortran_big.npz", 1000, 300],
];

const read: Reader = async (path) => {
  const { shape, data } = await readImage(path);
  return { read: data.length, promised: shape[0] * shape[1] * shape[2] };
};

for (const [file, head, rounds] of BASES) {
  test(`${file}, damaged: a volume or an error of one line, quickly and in little memory`, async (t) => {
    const path = join(await temporaryFolder(t), `x${/\.nii\.gz$/.test(file) ? ".nii.gz" : extname(file)}`);
    const bytes = await readFile(join(FIXTURES, file));
    assert.deepEqual(await fuzz(bytes, { path, head, rounds, seed: 9, read }), [], basename(file));
  });
}

test("an h5 file, damaged", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "a.h5");
  await writeH5(path, {
    label: { shape: [2, 3, 4], data: Uint8Array.from({ length: 24 }, (_, i) => i % 3) },
  });
  const bytes = await readFile(path);
  const readBoth: Reader = async (file) => {
    const { data } = await readLabels(file);
    return { read: data.length, promised: data.length };
  };
  const faults = await fuzz(bytes, {
    path: join(folder, "x.h5"),
    head: 800,
    rounds: 200,
    seed: 9,
    read: readBoth,
  });
  assert.deepEqual(faults, []);
});

test("faults are found: a reader that trusts a header, one that dies of it, one that stops early", async (t) => {
  const path = join(await temporaryFolder(t), "x.nii");
  const bytes = await readFile(join(FIXTURES, "nifti/turned.nii"));
  const shapeOf = async (file: string): Promise<number[]> => {
    const found = await readFile(file);
    if (found.length < 352) return [0, 0, 0];
    return [1, 2, 3].map((axis) => Math.max(0, found.readInt16LE(40 + 2 * axis)));
  };
  const product = (shape: number[]): number => shape.reduce((a, b) => a * b, 1);
  const trusting: Reader = async (file) => {
    const promised = Math.min(product(await shapeOf(file)), 100 << 20);
    return { read: new Float32Array(promised).length, promised };
  };
  const dying: Reader = async (file) => {
    if ((await readFile(file)).readInt16LE(70) !== 4) throw new TypeError("undefined is not a function");
    return { read: 0, promised: 0 };
  };
  const early: Reader = async (file) => ({ read: 24, promised: product(await shapeOf(file)) });
  for (const [reader, message] of [
    [trusting, /took \d+ bytes/],
    [dying, /TypeError|RangeError/],
    [early, /24 of \d+ voxels/],
  ] as const) {
    const faults = await fuzz(bytes, { path, head: 352, rounds: 400, seed: 9, read: reader });
    assert.ok(
      faults.some((fault) => message.test(fault)),
      `${message}`,
    );
  }
});
