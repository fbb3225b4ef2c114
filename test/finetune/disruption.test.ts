/** What disturbs the slices of training crops, and what it leaves alone. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { finetuneSettings } from "../../src/config/schema.js";
import { disruptionOf } from "../../src/finetune/disruption.js";
import { RandomStream } from "../../src/graph/random.js";
import { encodePng } from "../../src/io/png.js";
import { Tensor } from "../../src/native/tensor.js";
import { inputPlan } from "../../src/stitch/input-plan.js";

const [width, height, depth] = [5, 5, 8];
const plan = inputPlan([width, height, depth], { input: "native", scale: 9, canvas: 64 });
const size = width * height;

/** A crop whose image says which voxel of which slice a value was, and whose label follows from it. */
function crop() {
  const values = Float32Array.from({ length: depth * size }, (_, i) => i);
  const shape = [1, depth, height, width];
  return {
    image: Tensor.from("f32", shape, values),
    label: Tensor.from(
      "u8",
      shape,
      Uint8Array.from(values, (value) => value % 251),
    ),
  };
}

const slicesOf = (data: Float32Array | Uint8Array) =>
  Array.from({ length: depth }, (_, z) => Array.from(data.subarray(z * size, (z + 1) * size)));

async function disturbed(
  settings: Parameters<typeof finetuneSettings.parse>[0],
  { done = 0.5, seed = 1 }: { done?: number; seed?: number } = {},
) {
  const disturb = disruptionOf(finetuneSettings.parse(settings), plan) ?? assert.fail("no disruption");
  const { image, label } = crop();
  await disturb(new RandomStream(seed, 2, "disruption"), { image, label }, done);
  const result = { images: slicesOf(image.f32), labels: slicesOf(label.u8) };
  image.dispose();
  label.dispose();
  return result;
}

test("none by default", () => {
  assert.equal(disruptionOf(finetuneSettings.parse({}), plan), undefined);
});

test("shuffled: the same slices in another order, labels with them", async () => {
  const { images, labels } = await disturbed({ disruption: "shuffled" });
  const order = images.map(([first = Number.NaN]) => first / size);
  assert.deepEqual(order.toSorted(), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.notDeepEqual(order, order.toSorted());
  for (const [z, values] of images.entries()) {
    assert.deepEqual(
      values,
      Array.from({ length: size }, (_, i) => (order[z] ?? 0) * size + i),
    );
    assert.deepEqual(
      labels[z],
      values.map((value) => value % 251),
    );
  }
});

test("turned: each slice at its place in each of eight orientations, labels with it", async () => {
  const orientations = new Set<string>();
  for (let seed = 1; seed <= 8; seed++) {
    const { images, labels } = await disturbed({ disruption: "turned" }, { seed });
    for (const [z, values] of images.entries()) {
      const within = values.map((value) => value - z * size);
      assert.deepEqual(
        within.toSorted((a, b) => a - b),
        Array.from({ length: size }, (_, i) => i),
      );
      assert.deepEqual(
        labels[z],
        values.map((value) => value % 251),
      );
      // The first two pixels say which rigid turn it is, and it is one: steps along rows and columns are constant.
      const [corner = 0, right = 0] = within;
      const [across, down] = [right - corner, (within[width] ?? 0) - corner];
      assert.deepEqual([Math.abs(across), Math.abs(down)].toSorted(), [1, width]);
      for (const [i, value] of within.entries())
        assert.equal(value, corner + (i % width) * across + Math.floor(i / width) * down);
      orientations.add(`${corner} ${right}`);
    }
  }
  assert.equal(orientations.size, 8);
});

test("natural images stand for all slices but one at first, for none at the end, and teach nothing", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "sfr-natural-"));
  t.after(() => rm(folder, { recursive: true }));
  const gray = Uint8Array.from({ length: 12 * 9 }, (_, i) => (i * 37) % 256);
  const colour = Uint8Array.from({ length: 3 * 6 * 7 }, (_, i) => (i * 53) % 256);
  await writeFile(join(folder, "b.png"), encodePng(gray, 12, 9, 1));
  await writeFile(join(folder, "a.PNG"), encodePng(colour, 6, 7, 3));
  const settings = { disruption: "natural", naturalImages: folder };
  for (const [done, natural] of [
    [0.01, 7],
    [0.5, 4],
    [0.875, 1],
    [1, 0],
  ] as const) {
    const { images, labels } = await disturbed(settings, { done });
    const isNatural = labels.map((slice) => slice.every((label) => label === 255));
    assert.equal(isNatural.filter(Boolean).length, natural);
    for (const [z, values] of images.entries()) {
      if (!isNatural[z]) {
        assert.deepEqual(
          values,
          Array.from({ length: size }, (_, i) => z * size + i),
        );
        continue;
      }
      const mean = values.reduce((sum, value) => sum + value, 0) / size;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
      // Rounded to f32.
      assert.ok(Math.abs(mean) < 1e-5 && Math.abs(variance - 1) < 1e-5);
    }
  }
  await writeFile(join(folder, "b.png"), "no picture");
  await assert.rejects(
    Promise.all([1, 2, 3].map(() => disturbed(settings, { done: 0.01 }))),
    /expected the PNG signature in .*b\.png/,
  );
  await rm(folder, { recursive: true });
  assert.throws(
    () => disruptionOf(finetuneSettings.parse(settings), plan),
    /folder of natural images, received ENOENT/,
  );
  await writeFile(folder, "");
  assert.throws(() => disruptionOf(finetuneSettings.parse(settings), plan), /received ENOTDIR/);
});
