import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DataError, ShapeError } from "../../src/errors.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { scoreClasses } from "../../src/metrics/scores.js";
import { Tensor } from "../../src/native/tensor.js";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/reference/metrics/", import.meta.url));

interface MedpyCase {
  case: number;
  shape: [number, number, number];
  spacing: [number, number, number] | null;
  dice: number;
  jaccard: number;
  hd95: number;
  asd: number;
  asd_reverse: number;
}

/** A mask in the reference's (x, y, z) order as a tensor [z][y][x]. */
function volumeOf(data: ArrayLike<number>, [sizeX, sizeY, sizeZ]: MedpyCase["shape"], value = 1): Tensor {
  const tensor = Tensor.zeros("u8", [sizeZ, sizeY, sizeX]);
  const to = tensor.u8;
  for (let z = 0, i = 0; z < sizeZ; z++) {
    for (let y = 0; y < sizeY; y++) {
      for (let x = 0; x < sizeX; x++, i++) to[i] = data[(x * sizeY + y) * sizeZ + z] === 1 ? value : 0;
    }
  }
  return tensor;
}

/** An f32 distance is within 6e-8 of itself; medpy works in double. The distances here are below 20. */
const tolerance = 1e-6;

function assertClose(received: number | null | undefined, expected: number, what: string): void {
  assert.ok(
    typeof received === "number" && Math.abs(received - expected) <= tolerance * Math.max(1, expected),
    `${what}: expected ${expected}, received ${received}`,
  );
}

test("scores equal medpy's, with and without spacing, in both directions", async () => {
  const cases = JSON.parse(readFileSync(`${fixtures}expected.json`, "utf8")) as MedpyCase[];
  const { tensors } = await readSafetensors(`${fixtures}masks.safetensors`);
  assert.equal(cases.length, 5);
  for (const item of cases) {
    const mask = (name: string) => {
      const data = tensors.get(`${name}_${item.case}`)?.data;
      assert.ok(data instanceof Uint8Array);
      return volumeOf(data, item.shape);
    };
    using prediction = mask("prediction");
    using reference = mask("reference");
    const options = { labelIds: [0, 7], spacing: item.spacing ?? ([1, 1, 1] as const) };
    const [scores] = await scoreClasses(prediction, reference, options);
    const [reverse] = await scoreClasses(reference, prediction, options);
    assert.equal(scores?.label, 7);
    for (const key of ["dice", "jaccard", "hd95", "asd"] as const)
      assertClose(scores?.[key], item[key], `${key} of case ${item.case}`);
    assertClose(reverse?.asd, item.asd_reverse, `reverse asd of case ${item.case}`);
    assertClose(reverse?.hd95, item.hd95, `reverse hd95 of case ${item.case}`);
  }
});

/** [1, 2, 8] volumes. */
const line = (...classes: number[]) => Tensor.from("u8", [1, 2, 8], classes);

test("classes are scored apart, and absent ones by rule", async () => {
  // Class 1 in both, class 2 in the reference only, class 3 in the prediction only, class 4 in neither.
  using prediction = line(1, 1, 1, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0);
  using reference = line(0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0);
  const scores = await scoreClasses(prediction, reference, {
    labelIds: [0, 10, 20, 30, 40],
    spacing: [2, 1, 1],
  });
  const common = { tn: 14, tp: 0, fp: 0, fn: 0, nPred: 0, nRef: 0 };
  const missed = { dice: 0, jaccard: 0, hd95: null, asd: null };
  const absent = { dice: null, jaccard: null, hd95: null, asd: null };
  const [one, ...others] = scores;
  assert.deepEqual(others, [
    { label: 20, ...missed, ...common, fn: 2, nRef: 2 },
    { label: 30, ...missed, ...common, fp: 2, nPred: 2 },
    { label: 40, ...absent, ...common, tn: 16 },
  ]);
  assert.deepEqual([one?.tp, one?.fp, one?.fn, one?.tn, one?.nPred, one?.nRef], [2, 1, 1, 12, 3, 3]);
  assertClose(one?.dice, 2 / 3, "dice");
  assertClose(one?.jaccard, 0.5, "jaccard");
  // Directed distances 2, 0, 0 and 0, 0, 2 (a step in x is 2 mm): sorted 0 0 0 0 2 2, the 95th percentile is 2.
  assertClose(one?.hd95, 2, "hd95");
  assertClose(one?.asd, 2 / 3, "asd");
});

test("the percentile is interpolated as numpy does", async () => {
  using prediction = line(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  using reference = line(1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const [scores] = await scoreClasses(prediction, reference, { labelIds: [0, 1], spacing: [1, 1, 1] });
  assertClose(scores?.hd95, 0.9, "np.percentile([0, 0, 1], 95)");
});

test("labels beyond the table and unlike shapes are refused", async () => {
  using prediction = line(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255);
  using reference = line(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
  using larger = Tensor.zeros("u8", [2, 2, 8]);
  const options = { labelIds: [0, 1], spacing: [1, 1, 1] } as const;
  await assert.rejects(scoreClasses(prediction, reference, options), DataError);
  await assert.rejects(scoreClasses(larger, reference, options), ShapeError);
});
