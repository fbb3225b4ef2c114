import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ShapeError } from "../../src/errors.js";
import type { Picture } from "../../src/io/png.js";
import { renderCanvas } from "../../src/viewer/canvas-preview.js";
import { labelColor } from "../../src/viewer/colors.js";
import { paintLabels, renderOverlay, windowToGray } from "../../src/viewer/overlay.js";

const at = ({ pixels, width }: Picture, x: number, y: number) => [
  ...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

describe("windowToGray", () => {
  it("spreads the 1st to 99th percentile over 0..255 and clips the rest", () => {
    const values = Float32Array.from({ length: 101 }, (_, i) => i);
    values[0] = -1e9;
    values[100] = 1e9;
    const gray = windowToGray(values);
    // Percentiles 1 and 99 are the values 1 and 99.
    assert.deepEqual([gray[0], gray[1], gray[50], gray[99], gray[100]], [0, 0, 128, 255, 255]);
    assert.deepEqual([...windowToGray([3, 3, Number.NaN])], [0, 0, 0]);
    assert.deepEqual([...windowToGray([0, Number.NaN, 1, Number.POSITIVE_INFINITY])], [0, 0, 255, 255]);
  });
});

describe("renderOverlay", () => {
  it("shows image, reference and prediction of the middle foreground slice, rows y from the top", () => {
    const [width, height, depth] = [256, 6, 9];
    const image = new Float32Array(width * height * depth);
    const reference = new Uint16Array(image.length);
    const prediction = new Uint16Array(image.length);
    const index = (x: number, y: number, z: number) => (z * height + y) * width + x;
    for (const z of [4, 5, 6]) {
      for (let i = 0; i < 25; i += 1) {
        reference[index(10 + (i % 5), 1 + Math.floor(i / 5), z)] = 300;
      }
    }
    prediction[index(100, 2, 5)] = 2;
    for (let x = 0; x < width; x += 1) {
      image[index(x, 3, 5)] = x;
    }
    const picture = renderOverlay({ image, size: [width, height, depth], reference, prediction });
    assert.deepEqual([picture.width, picture.height, picture.channels], [3 * 256 + 8, 6, 3]);
    const gray = at(picture, 200, 3)[0] ?? 0;
    assert.ok(gray > 150, `${gray}`);
    assert.deepEqual(at(picture, 200, 2), [0, 0, 0]);
    const color = labelColor(300);
    assert.deepEqual(at(picture, 256 + 4 + 10, 1), [...color], "contour of the reference");
    const base = at(picture, 12, 3)[0] ?? 0;
    const inside = color.map((value) => Math.round(base * 0.65 + value * 0.35));
    assert.deepEqual(at(picture, 256 + 4 + 12, 3), inside, "area of the reference");
    assert.deepEqual(at(picture, 2 * 260 + 100, 2), [...labelColor(2)]);
    assert.deepEqual(at(picture, 2 * 260 + 12, 3), [base, base, base]);
    assert.deepEqual(at(picture, 257, 0), [128, 128, 128], "gap");
  });

  it("enlarges small slices by a whole factor and takes the middle slice without labels", () => {
    const image = Float32Array.from({ length: 3 * 2 * 5 }, (_, i) => (i === 2 * 6 ? 1 : 0));
    const picture = renderOverlay({ image, size: [3, 2, 5] });
    assert.deepEqual([picture.width, picture.height], [255, 170]);
    assert.deepEqual(at(picture, 84, 84), [255, 255, 255]);
    assert.deepEqual(at(picture, 85, 84), [0, 0, 0]);
  });

  it("refuses volumes of another size and slices outside", () => {
    const image = new Float32Array(24);
    assert.throws(() => renderOverlay({ image, size: [2, 3, 5] }), ShapeError);
    assert.throws(
      () => renderOverlay({ image, size: [2, 3, 4], prediction: new Uint8Array(23) }),
      ShapeError,
    );
    assert.throws(() => renderOverlay({ image, size: [2, 3, 4], slice: 4 }), ShapeError);
  });
});

describe("paintLabels", () => {
  it("draws contours between labels that touch and leaves background and the skipped label", () => {
    const labels = [0, 1, 1, 1, 2, 9];
    const pixels = paintLabels(new Uint8Array(18 * 3), [...labels, ...labels, ...labels], 6, 3, 9);
    const middle = Array.from({ length: 6 }, (_, x) => [...pixels.subarray((6 + x) * 3, (6 + x) * 3 + 3)]);
    assert.deepEqual(middle[0], [0, 0, 0]);
    assert.deepEqual(middle[1], [...labelColor(1)]);
    assert.deepEqual(
      middle[2],
      labelColor(1).map((value) => Math.round(0.35 * value)),
    );
    assert.deepEqual(middle[3], [...labelColor(1)]);
    assert.deepEqual(middle[4], [...labelColor(2)]);
    assert.deepEqual(middle[5], [0, 0, 0]);
  });
});

describe("renderCanvas", () => {
  it("reduces by a whole factor, paints labels and marks ignored pixels", () => {
    const image = Float32Array.from({ length: 8 * 6 }, (_, i) => i % 8);
    const labels = Uint8Array.from({ length: 8 * 6 }, (_, i) => (i % 8 < 2 ? 1 : i % 8 < 4 ? 255 : 0));
    const picture = renderCanvas({ image, labels, width: 8, height: 6 }, 4);
    assert.deepEqual([picture.width, picture.height], [4, 3]);
    assert.deepEqual(at(picture, 0, 1), [...labelColor(1)]);
    assert.deepEqual(at(picture, 1, 1), [44, 52, 70]);
    // Block means 0.5, 2.5, 4.5, 6.5 over a window of 0.5 to 6.5.
    assert.deepEqual(at(picture, 2, 1), [170, 170, 170]);
    assert.deepEqual(at(renderCanvas({ image, width: 8, height: 6 }), 7, 0), [255, 255, 255]);
    assert.throws(() => renderCanvas({ image, labels: new Uint8Array(3), width: 8, height: 6 }), ShapeError);
  });
});
