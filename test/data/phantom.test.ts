import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { openDataset } from "../../src/data/cases.js";
import { discoverLabels, loadCase } from "../../src/data/load-case.js";
import { generatePhantom, phantomShape, writePhantomDataset } from "../../src/data/phantom.js";
import { splitCases } from "../../src/data/splits.js";
import { temporaryFolder } from "./nifti-files.js";

const hash = (data: Float32Array): string => createHash("sha256").update(data).digest("hex");

test("the same arguments give the same bits, other ones do not", () => {
  const first = generatePhantom(2, 5, [32, 28, 24]);
  assert.equal(hash(generatePhantom(2, 5, [32, 28, 24]).image.data), hash(first.image.data));
  assert.notEqual(hash(generatePhantom(3, 5, [32, 28, 24]).image.data), hash(first.image.data));
  assert.notEqual(hash(generatePhantom(2, 6, [32, 28, 24]).image.data), hash(first.image.data));
});

test("sizes vary between 64 x 64 x 48 and 72 x 72 x 56", () => {
  const shapes = Array.from({ length: 16 }, (_, i) => phantomShape(i, 1));
  for (const [x, y, z] of shapes) {
    assert.ok(x >= 64 && x <= 72 && y >= 64 && y <= 72 && z >= 48 && z <= 56);
  }
  assert.ok(new Set(shapes.map(String)).size > 10);
});

test("every case has both organs, inside the volume, in every seed", () => {
  for (let seed = 0; seed < 3; seed++) {
    for (let index = 0; index < 16; index++) {
      const { label } = generatePhantom(index, seed, [32, 32, 24]);
      const counts = [0, 0, 0];
      for (const id of label.data) counts[id] = (counts[id] ?? 0) + 1;
      const [, organ = 0, tube = 0] = counts.map((count) => count / label.data.length);
      assert.ok(organ > 0.02 && organ < 0.16, `organ ${organ}`);
      assert.ok(tube > 0.01 && tube < 0.08, `tube ${tube}`);
      const [nx, ny] = label.shape;
      const border = label.data.findIndex(
        (id, i) => id > 0 && (i % nx === 0 || Math.floor(i / nx) % ny === 0),
      );
      assert.equal(border, -1, "no organ touches the border");
    }
  }
});

test("too small or odd requests are refused", async (t) => {
  assert.throws(() => generatePhantom(0, 0, [64, 64, 23]), {
    name: "UsageError",
    message: /received 64, 64, 23/,
  });
  const root = await temporaryFolder(t);
  const request = { cases: 4, labelled: 2, unlabelled: 1, test: 2, seed: 0 };
  await assert.rejects(writePhantomDataset(root, request), {
    name: "UsageError",
    message: /received 2 \+ 1 \+ 2/,
  });
});

test("the data set on the disk opens, splits and loads as it was generated", async (t) => {
  const root = await temporaryFolder(t);
  await writePhantomDataset(root, { cases: 3, labelled: 1, unlabelled: 1, test: 1, seed: 4 });
  assert.deepEqual((await readdir(root)).sort(), ["images", "imagesTs", "imagesUn", "labels", "labelsTs"]);
  const split = splitCases(await openDataset(root), { labelled: 1, unlabelled: "all", test: "all" });
  assert.deepEqual(
    [split.labelled, split.unlabelled, split.test].map((cases) => cases.map(({ id }) => id)),
    [["phantom_000"], ["phantom_001"], ["phantom_002"]],
  );
  const { table } = await discoverLabels(split.labelled);
  assert.deepEqual(table.ids, [0, 1, 2]);
  for (const [i, entry] of [...split.labelled, ...split.test].entries()) {
    const expected = generatePhantom(2 * i, 4);
    const { channels, label } = await loadCase(entry, table);
    const [image] = channels;
    assert.ok(image);
    assert.deepEqual(image.data, expected.image.data);
    assert.deepEqual(label.data, expected.label.data);
    assert.deepEqual(image.spacing, [1, 1, 1.5]);
    assert.deepEqual(image.grid?.affine, expected.image.grid?.affine);
  }
});
