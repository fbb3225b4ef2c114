import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { SfrError, UsageError } from "../../src/errors.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { checkGeometry, type StitchGeometry, stitchGeometry } from "../../src/stitch/geometry.js";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/reference/stitch/", import.meta.url));

interface ReferenceCase {
  patch: [number, number, number];
  canvas: number;
  rows: number;
  cols: number;
  pad_row: number;
  pad_col: number;
  pad_depth: number;
  margin_row: number;
  margin_col: number;
  tile_rows: number;
  tile_cols: number;
}
const cases = JSON.parse(readFileSync(`${fixtures}geometry.json`, "utf8")) as ReferenceCase[];

/** Calls body(start of the row in the volume [z][y][x], start of the same row in the canvases) for every row. */
function eachRow(g: StitchGeometry, body: (volume: number, canvas: number) => void): void {
  const tiles = g.rows * g.cols;
  for (let z = 0; z < g.slices; z++) {
    const t = z + g.frontSlices;
    const inCanvas = t % tiles;
    const top = g.originY + Math.floor(inCanvas / g.cols) * g.tileHeight;
    const left = g.originX + (inCanvas % g.cols) * g.tileWidth;
    const canvas = (Math.floor(t / tiles) * g.canvas + top) * g.canvas + left;
    for (let y = 0; y < g.sliceHeight; y++) {
      body((z * g.sliceHeight + y) * g.sliceWidth, canvas + y * g.canvas);
    }
  }
}

type Voxels = Uint8Array | Int32Array;

function stitch<T extends Voxels>(g: StitchGeometry, volume: T, canvases: T): T {
  eachRow(g, (from, to) => {
    canvases.set(volume.subarray(from, from + g.sliceWidth), to);
  });
  return canvases;
}

test("geometry equals the authors' code", () => {
  for (const c of cases) {
    const g = stitchGeometry({ patch: c.patch, canvas: c.canvas });
    const columns = [g.cols, g.padX, g.tileWidth, g.marginX];
    assert.deepEqual(columns, [c.cols, c.pad_col, c.tile_cols, c.margin_col], `${c.patch} on ${c.canvas}`);
    // Theirs crops 2 rows off a padding of 1 here and would show 255 as a label: ours rounds the padding down.
    const leaks = -c.margin_row > c.pad_row;
    assert.equal(leaks, c.patch[0] === 30);
    const rows = leaks ? [6, 0, 20, 4] : [c.rows, c.pad_row, c.tile_rows, c.margin_row];
    assert.deepEqual([g.rows, g.padY, g.tileHeight, g.marginY], rows, `${c.patch} on ${c.canvas}`);
    assert.equal(g.frontSlices, c.pad_depth);
    assert.equal(g.canvases, c.patch[2] > c.rows * c.cols ? 2 : 1);
  }
});

test("canvases equal the authors' code, voxel by voxel", async () => {
  const { tensors } = await readSafetensors(`${fixtures}expected.safetensors`);
  let compared = 0;
  for (const c of cases) {
    const name = `${c.patch.join("x")}@${c.canvas}`;
    const [sizeX, sizeY, sizeZ] = c.patch;
    const image = new Int32Array(sizeX * sizeY * sizeZ);
    const label = new Int32Array(image.length);
    for (let z = 0, i = 0; z < sizeZ; z++) {
      for (let y = 0; y < sizeY; y++) {
        for (let x = 0; x < sizeX; x++, i++) {
          const running = (x * sizeY + y) * sizeZ + z; // index in the reference's (H, W, D) order
          image[i] = running + 1;
          label[i] = running % 250;
        }
      }
    }
    const g = stitchGeometry({ patch: c.patch, canvas: c.canvas });
    const ours = {
      image: stitch(g, image, new Int32Array(g.canvases * c.canvas ** 2)),
      label: stitch(g, label, new Int32Array(g.canvases * c.canvas ** 2).fill(255)),
    };
    for (const kind of ["image", "label"] as const) {
      const whole = tensors.get(`${kind}.${name}`);
      const sample = tensors.get(`${kind}_sample.${name}`);
      const index = tensors.get(`index.${name}`);
      const expected = [...((whole ?? sample)?.data ?? [])].map(Number);
      const at = index === undefined ? expected.map((_, i) => i) : [...index.data].map(Number);
      assert.deepEqual(
        at.map((i) => ours[kind][i]),
        expected,
        `${kind} ${name}`,
      );
      compared += expected.length;
    }
  }
  // All pixels of the canvas at 256, 6000 of each of the four larger ones; images and labels.
  assert.equal(compared, 2 * (256 ** 2 + 4 * 6000));
});

test("axes are treated alone: a canvas cropped on one axis only is whole", () => {
  // The authors' code loses this canvas: it crops both axes when one needs it.
  const g = stitchGeometry({ patch: [112, 96, 40], canvas: 1024 });
  assert.deepEqual([g.marginY, g.originY, g.marginX, g.originX], [2, 5, -1, 0]);
});

test("padding is rounded down exactly where rounding to the nearest leaks 255 or leaves an odd overhang", () => {
  const leaking: number[] = [];
  const odd: number[] = [];
  for (let size = 8; size <= 320; size++) {
    const tiles = Math.floor(1024 / size);
    const half = (1024 / tiles - size) / 2;
    const nearest = half % 1 === 0.5 ? 2 * Math.round(half / 2) : Math.round(half);
    const rest = 1024 - tiles * (size + 2 * nearest);
    if (rest < 0 && -rest / 2 > nearest) leaking.push(size);
    if (rest % 2 !== 0) odd.push(size);
    const unsound = rest < 0 && (-rest / 2 > nearest || rest % 2 !== 0);
    const g = stitchGeometry({ patch: [size, size, 1], canvas: 1024 });
    assert.equal(g.padY, unsound ? Math.floor(half) : nearest, `${size}`);
    assert.equal(g.originY, g.originX);
    assert.ok(g.originY >= 0 && g.originY + (tiles - 1) * g.tileHeight + size <= 1024, `${size}`);
  }
  const known = "38 41 43 45 47 50 57 59 61 65 67 70 72 77 80 82 84 86 88 90 92 99 101 125 143 145";
  assert.equal(leaking.join(" "), known);
  assert.equal(odd.length, 86);
});

test("unstitching gives back every volume, for all slice sizes up to 512 on canvases 512 and 1024", () => {
  const pattern = new Uint8Array(3 * 1024 * 1024).map((_, i) => (i * 7919 + (i >> 8)) % 251);
  for (const canvas of [512, 1024]) {
    const pixels = new Uint8Array(2 * canvas * canvas);
    for (let size = 1; size <= 512; size++) {
      const width = ((size * 37) % 512) + 1; // every width once, unlike the height
      const tiles = Math.floor(canvas / size) * Math.floor(canvas / width);
      // Odd sizes: one slice more than tiles, so two canvases; even sizes: three tiles stay empty.
      const slices = size % 2 === 1 ? tiles + 1 : Math.max(tiles - 3, 1);
      const g = stitchGeometry({ patch: [width, size, slices], canvas });
      const volume = pattern.subarray(size, size + slices * size * width);
      const back = new Uint8Array(volume.length).fill(255);
      pixels.fill(255);
      stitch(g, volume, pixels);
      eachRow(g, (to, from) => {
        back.set(pixels.subarray(from, from + width), to);
      });
      assert.equal(Buffer.compare(back, volume), 0, `${width}x${size}x${slices} on ${canvas}`);
      assert.equal(g.canvases, slices > tiles ? 2 : 1);
    }
  }
});

test("more slices than tiles go on several canvases, without blank slices in front", () => {
  const g = stitchGeometry({ patch: [64, 64, 130], canvas: 512 });
  assert.deepEqual([g.rows, g.cols, g.canvases, g.frontSlices], [8, 8, 3, 0]);
});

test("what cannot be stitched is refused", () => {
  assert.throws(
    () => stitchGeometry({ patch: [600, 96, 8], canvas: 512 }),
    (e) => e instanceof UsageError && /at most 512 x 512 pixels.*600 x 96.*larger canvas/.test(e.message),
  );
  assert.throws(() => stitchGeometry({ patch: [96, 600, 8], canvas: 512 }), /received 96 x 600/);
  assert.throws(() => stitchGeometry({ patch: [96, 96.5, 8], canvas: 512 }), /an integer >= 1 for patch y/);
  assert.throws(() => stitchGeometry({ patch: [96, 96, 0], canvas: 512 }), /patch z, received 0/);
  // The geometry that plain rounding gives for 38 pixels: 26 tiles of 40, 16 cropped off with 1 of padding.
  const leaking = { ...stitchGeometry({ patch: [38, 38, 4], canvas: 1024 }), tileHeight: 40, originY: -7 };
  assert.throws(() => checkGeometry(leaking), SfrError);
});
