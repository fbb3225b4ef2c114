/** How SAM sees a crop, by every rule: there and back, and where slices lie. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { smallCanvas } from "../../src/config/small-canvas.js";
import { gapClass } from "../../src/data/label-table.js";
import { resizeLinear } from "../../src/data/resize-linear.js";
import { Graph } from "../../src/graph/graph.js";
import { RandomStream } from "../../src/graph/random.js";
import { Tensor } from "../../src/native/tensor.js";
import { stitchImage, stitchLabels, unstitchLogits } from "../../src/stitch/canvases.js";
import { stitchGeometry } from "../../src/stitch/geometry.js";
import { type InputPlan, inputPlan, partStarts } from "../../src/stitch/input-plan.js";

type Patch = readonly [number, number, number];

const classes = 3;
/** Two linear interpolations of f32 values of at most 4: some units of rounding each. */
const rounding = 1e-5;

/** Random values of a part, and labels of which some are ignored. */
function randomPart({ part: [width, height, depth] }: InputPlan): {
  values: Float32Array;
  labels: Uint8Array;
} {
  const stream = new RandomStream(3, 0, `part/${width}/${height}/${depth}`);
  const count = width * height * depth;
  const values = Float32Array.from({ length: count }, () => stream.normal());
  const labels = Uint8Array.from({ length: count }, () => [0, 1, 2, 255][stream.integer(4)] ?? 0);
  return { values, labels };
}

/** Canvases of a part and of its labels, and both back again: the labels as one channel, their number. */
async function thereAndBack(plan: InputPlan, values: Float32Array, labels: Uint8Array) {
  const [width, height, depth] = plan.part;
  const shape = [1, depth, height, width];
  using image = Tensor.from("f32", shape, values);
  using label = Tensor.from("u8", shape, labels);
  const graph = new Graph();
  const canvases = stitchImage(graph.input("image", "f32", shape), plan);
  using forth = graph.compile({
    canvases,
    labels: stitchLabels(graph.input("label", "u8", shape), plan, classes),
  });
  const made = await forth.run({ image, label });
  const out = { canvases: made.canvases.f32.slice(), labels: made.labels.u8.slice() };
  const channelShape = [...made.canvases.shape, 2];
  // Two channels, the second one minus the first: each must find its own way.
  const both = Float32Array.from({ length: 2 * out.canvases.length }, (_, i) => {
    const value = out.canvases[i >> 1] ?? Number.NaN;
    return i % 2 === 0 ? value : -value;
  });
  const backGraph = new Graph();
  using back = backGraph.compile({
    back: unstitchLogits(backGraph.input("channels", "f32", channelShape), plan),
  });
  using channels = Tensor.from("f32", channelShape, both);
  const returned = (await back.run({ channels })).back;
  assert.deepEqual(returned.shape, [1, depth, height, width, 2]);
  const first = returned.f32.filter((_, i) => i % 2 === 0);
  assert.deepEqual(
    returned.f32.filter((_, i) => i % 2 === 1).map((value) => 0 - value),
    first.map((value) => value + 0),
  );
  return { ...out, back: first };
}

/** Slices [slices][height][width] resized bilinearly with half-pixel centres. */
function resizeSlices(x: Float32Array, from: readonly [number, number], to: readonly [number, number]) {
  const slices = x.length / (from[0] * from[1]);
  return resizeLinear(resizeLinear(x, slices, from[0], to[0], from[1]), slices * to[0], from[1], to[1], 1);
}

function assertNear(received: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  assert.equal(received.length, expected.length, what);
  for (let i = 0; i < expected.length; i++)
    assert.ok(
      Math.abs((received[i] ?? Number.NaN) - (expected[i] ?? Number.NaN)) <= rounding,
      `${what} at ${i}: expected ${expected[i]}, received ${received[i]}`,
    );
}

/** Pixels that are not in any slice's tile, and what the tiles hold, slice by slice. */
function tilesOf<T extends Float32Array | Uint8Array>(canvases: T, { geometry: g }: InputPlan) {
  const rest = Array.from(canvases, Number);
  const slices: number[] = [];
  for (let z = 0; z < g.slices; z++) {
    const t = z + g.frontSlices;
    const place = t % (g.rows * g.cols);
    const [row, column] = [Math.floor(place / g.cols), place % g.cols];
    for (let y = 0; y < g.sliceHeight; y++)
      for (let x = 0; x < g.sliceWidth; x++) {
        const line = g.originY + row * g.tileHeight + y;
        const at =
          (Math.floor(t / (g.rows * g.cols)) * g.canvas + line) * g.canvas +
          g.originX +
          column * g.tileWidth +
          x;
        slices.push(rest[at] ?? Number.NaN);
        rest[at] = Number.NaN;
      }
  }
  return { slices, gaps: rest.filter((value) => !Number.isNaN(value)) };
}

const patches: readonly Patch[] = [
  [16, 16, 16],
  [21, 13, 11],
  [7, 30, 40],
  [32, 32, 5],
];

test("slices of their own size come back as they were", async () => {
  for (const patch of patches)
    for (const input of ["native", "square", "small-size"] as const) {
      const canvas = input === "small-size" ? smallCanvas(patch) : 224;
      const plan = inputPlan(patch, { input, scale: 9, canvas });
      assert.deepEqual(plan.part, patch);
      const { values, labels } = randomPart(plan);
      const made = await thereAndBack(plan, values, labels);
      const what = `${input} ${patch.join("x")}`;
      assert.deepEqual(made.back, values, what);
      const [image, label] = [tilesOf(made.canvases, plan), tilesOf(made.labels, plan)];
      assert.deepEqual(Float32Array.from(image.slices), values, what);
      assert.deepEqual(Uint8Array.from(label.slices), labels, what);
      assert.ok(
        image.gaps.every((value) => value === 0) && label.gaps.every((value) => value === gapClass),
        what,
      );
      if (input === "small-size") assert.equal(plan.geometry.canvases, patch[2]);
    }
});

test("resized slices are the stated interpolation, there and back, at every scale", async () => {
  const forms = [
    ...Array.from({ length: 12 }, (_, i) => ({ input: "scale", scale: i + 1, canvas: 160 }) as const),
    { input: "upsample", scale: 9, canvas: 64 } as const,
  ];
  for (const [index, form] of forms.entries()) {
    const patch = patches[index % patches.length] ?? [8, 8, 8];
    const plan = inputPlan(patch, form);
    const side = form.input === "scale" ? Math.floor(160 / form.scale) - 8 : 64;
    const { part, geometry } = plan;
    assert.equal(part[2], form.input === "scale" ? Math.min(patch[2], form.scale ** 2) : 1);
    assert.deepEqual([geometry.canvases, geometry.sliceHeight, geometry.sliceWidth], [1, side, side]);
    if (form.input === "scale") assert.deepEqual([geometry.padY, geometry.padX], [4, 4]);
    const { values, labels } = randomPart(plan);
    const made = await thereAndBack(plan, values, labels);
    const what = `${form.input} ${form.scale} of ${patch.join("x")}`;
    const extents = [part[1], part[0]] as const;
    const large = resizeSlices(values, extents, [side, side]);
    const image = tilesOf(made.canvases, plan);
    assertNear(image.slices, large, what);
    assert.ok(
      image.gaps.every((value) => value === 0),
      what,
    );
    assertNear(made.back, resizeSlices(large, [side, side], extents), `${what}, back`);

    const shares = Array.from({ length: classes }, (_, k) =>
      resizeSlices(
        Float32Array.from(labels, (label) => (label === k ? 1 : 0)),
        extents,
        [side, side],
      ),
    );
    const { slices, gaps } = tilesOf(made.labels, plan);
    assert.ok(
      gaps.every((value) => value === gapClass),
      what,
    );
    for (const [i, label] of slices.entries()) {
      const own = shares.map((share) => share[i] ?? Number.NaN);
      const largest = Math.max(...own);
      // Shares that are equal but for rounding may go either way.
      if (label === 255) assert.ok(largest <= rounding, what);
      else
        assert.ok(
          (own[label] ?? 0) >= largest - rounding && largest > 0,
          `${what}: label ${label} of ${own}`,
        );
    }
    assert.ok(new Set(slices).size >= 3, what);
  }
});

test("the parts of a crop cover every slice, the last one up to its end", () => {
  for (const depth of [1, 4, 9, 10, 48, 80])
    for (const scale of [1, 2, 3, 5, 12]) {
      const plan = inputPlan([16, 16, depth], { input: "scale", scale, canvas: 256 });
      const starts = partStarts(depth, plan);
      const covered = new Set(
        starts.flatMap((start) => Array.from({ length: plan.part[2] }, (_, i) => start + i)),
      );
      assert.deepEqual([covered.size, Math.min(...covered), Math.max(...covered)], [depth, 0, depth - 1]);
      assert.equal(starts.length, Math.ceil(depth / scale ** 2));
    }
});

test("the paper's grid has ceil(sqrt(D)) tiles a side and is empty at its end only", () => {
  const plan = inputPlan([96, 96, 32], { input: "square", scale: 9, canvas: 1024 });
  const { rows, cols, frontSlices, tileHeight, canvases } = plan.geometry;
  assert.deepEqual([rows, cols, frontSlices, tileHeight, canvases], [6, 6, 0, 170, 1]);
  assert.throws(
    () => inputPlan([112, 112, 100], { input: "square", scale: 9, canvas: 1024 }),
    /expected at most 1024 pixels for the 10 tiles a side that 100 slices take, received 10 x 112/,
  );
});

test("small-size takes the canvas that just holds a slice; scales too small to show a slice are refused", () => {
  assert.deepEqual(
    [smallCanvas([112, 112, 80]), smallCanvas([97, 20, 4]), smallCanvas([3, 16, 4])],
    [112, 112, 16],
  );
  assert.throws(
    () => stitchGeometry({ patch: [16, 16, 16], canvas: 64, rule: "scale", scale: 8 }),
    /expected tiles of more than 8 pixels for scale, received 8 a side of 64/,
  );
});
