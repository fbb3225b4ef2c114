import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DataError, ShapeError } from "../../src/errors.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { scoreClasses } from "../../src/metrics/scores.js";
import { surfaceAreas } from "../../src/metrics/surface-areas.js";
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
    for (const [name, value] of [
      ["Dice", item.dice],
      ["Jaccard", item.jaccard],
      ["HD95", item.hd95],
      ["ASD", item.asd],
    ] as const)
      assertClose(scores?.metrics[name], value, `${name} of case ${item.case}`);
    assertClose(reverse?.metrics.ASD, item.asd_reverse, `reverse asd of case ${item.case}`);
    assertClose(reverse?.metrics.HD95, item.hd95, `reverse hd95 of case ${item.case}`);
  }
});

/** [1, 2, 8] volumes. */
const line = (...classes: number[]) => Tensor.from("u8", [1, 2, 8], classes);

/** What test/oracle/make-metrics.py writes. */
interface OtherPrograms {
  scores: (Record<"Precision" | "Recall" | "HD" | "ASSD" | "VolumeError", number> & {
    NSD: number[];
    simpleitk: { Dice: number; Jaccard: number };
  })[];
  tolerances: number[];
  sortedSurfaceAreas: Record<string, number[]>;
}

const others = JSON.parse(
  readFileSync(fileURLToPath(new URL("../../../test/fixtures/metrics.json", import.meta.url)), "utf8"),
) as OtherPrograms;

/** Voxels of a box in a volume [z, y, x]. */
function box(shape: [number, number, number], begin: number[], end: number[]): Tensor {
  const tensor = Tensor.zeros("u8", shape);
  const values = tensor.u8;
  for (let z = begin[0] ?? 0; z < (end[0] ?? 0); z++) {
    for (let y = begin[1] ?? 0; y < (end[1] ?? 0); y++)
      for (let x = begin[2] ?? 0; x < (end[2] ?? 0); x++) values[(z * shape[1] + y) * shape[2] + x] = 1;
  }
  return tensor;
}

test("the other scores equal medpy's, surface-distance's and SimpleITK's", async () => {
  const cases = JSON.parse(readFileSync(`${fixtures}expected.json`, "utf8")) as MedpyCase[];
  const { tensors } = await readSafetensors(`${fixtures}masks.safetensors`);
  type Pair = [Tensor, Tensor, readonly [number, number, number]];
  const pairs = cases.map((item): Pair => {
    const mask = (name: string) => {
      const data = tensors.get(`${name}_${item.case}`)?.data;
      assert.ok(data instanceof Uint8Array);
      return volumeOf(data, item.shape);
    };
    return [mask("prediction"), mask("reference"), item.spacing ?? [1, 1, 1]];
  });
  pairs.push(
    [box([28, 36, 40], [0, 0, 0], [3, 5, 4]), box([28, 36, 40], [25, 30, 34], [28, 36, 40]), [0.7, 0.9, 3]],
    [box([7, 8, 9], [3, 4, 4], [4, 5, 5]), box([7, 8, 9], [3, 4, 6], [4, 5, 7]), [1, 2, 3]],
  );
  assert.equal(pairs.length, others.scores.length);
  for (const [i, [prediction, reference, spacing]] of pairs.entries()) {
    const expected = others.scores[i];
    assert.ok(expected);
    for (const [k, tolerance] of others.tolerances.entries()) {
      const options = { labelIds: [0, 1], spacing, tolerance };
      const [scores] = await scoreClasses(prediction, reference, options);
      assertClose(scores?.metrics.NSD, expected.NSD[k] ?? -1, `NSD at ${tolerance} of pair ${i}`);
      for (const name of ["Precision", "Recall", "HD", "ASSD", "VolumeError"] as const)
        assertClose(scores?.metrics[name], expected[name], `${name} of pair ${i}`);
      for (const name of ["Dice", "Jaccard"] as const)
        assertClose(scores?.metrics[name], expected.simpleitk[name], `${name} of pair ${i}`);
    }
    prediction.dispose();
    reference.dispose();
  }
});

test("the area of a surface in every cell of eight voxels is surface-distance's", () => {
  for (const [name, areas] of Object.entries(others.sortedSurfaceAreas)) {
    const [x = 1, y = 1, z = 1] = name.split(",").map(Number);
    const ours = [...surfaceAreas([x, y, z])].sort((a, b) => a - b);
    assert.equal(areas.length, 256);
    for (const [code, area] of areas.entries()) assertClose(ours[code], area, `area ${code} at ${name} mm`);
  }
});

test("classes are scored apart, and absent ones by rule", async () => {
  // Class 1 in both, class 2 in the reference only, class 3 in the prediction only, class 4 in neither.
  using prediction = line(1, 1, 1, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0);
  using reference = line(0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0);
  const scores = await scoreClasses(prediction, reference, {
    labelIds: [0, 10, 20, 30, 40],
    spacing: [2, 1, 1],
  });
  const none = { HD95: null, HD: null, ASD: null, ASSD: null };
  const missed = { Dice: 0, IoU: 0, Jaccard: 0, Precision: 0, Recall: 0, NSD: 0, ...none };
  const common = { tn: 14, tp: 0, fp: 0, fn: 0, nPred: 0, nRef: 0 };
  const [one, two, three, four] = scores;
  assert.deepEqual(two, {
    label: 20,
    metrics: { ...missed, VolumeError: -1 },
    counts: { ...common, fn: 2, nRef: 2 },
  });
  assert.deepEqual(three, {
    label: 30,
    metrics: { ...missed, VolumeError: null },
    counts: { ...common, fp: 2, nPred: 2 },
  });
  assert.deepEqual(four?.counts, { ...common, tn: 16 });
  assert.deepEqual(new Set(Object.values(four?.metrics ?? {})), new Set([null]));
  assert.deepEqual(one?.counts, { tp: 2, fp: 1, fn: 1, tn: 12, nPred: 3, nRef: 3 });
  assertClose(one?.metrics.Dice, 2 / 3, "Dice");
  assertClose(one?.metrics.Jaccard, 0.5, "Jaccard");
  // Directed distances 2, 0, 0 and 0, 0, 2 (a step in x is 2 mm): sorted 0 0 0 0 2 2, the 95th percentile is 2.
  assertClose(one?.metrics.HD95, 2, "HD95");
  assertClose(one?.metrics.ASD, 2 / 3, "ASD");
});

test("the percentile is interpolated as numpy does", async () => {
  using prediction = line(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  using reference = line(1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const [scores] = await scoreClasses(prediction, reference, { labelIds: [0, 1], spacing: [1, 1, 1] });
  assertClose(scores?.metrics.HD95, 0.9, "np.percentile([0, 0, 1], 95)");
});

test("labels beyond the table and unlike shapes are refused", async () => {
  using prediction = line(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255);
  using reference = line(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
  using larger = Tensor.zeros("u8", [2, 2, 8]);
  const options = { labelIds: [0, 1], spacing: [1, 1, 1] } as const;
  await assert.rejects(scoreClasses(prediction, reference, options), DataError);
  await assert.rejects(scoreClasses(larger, reference, options), ShapeError);
});
