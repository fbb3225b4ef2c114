import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Voxels } from "../../src/config/schema.js";
import { Tensor } from "../../src/native/tensor.js";
import { slidingWindow } from "../../src/predict/sliding-window.js";

const classes = 3;

/** A volume [z][y][x] of some texture. */
function volume([sx, sy, sz]: Voxels): Tensor {
  const values = Array.from({ length: sx * sy * sz }, (_, i) => Math.sin(i * 1.7) + Math.cos(i * 0.13));
  return Tensor.from("f32", [sz, sy, sx], values);
}

/** Logits of a voxel: of its value and of its place in the window, so that overlapping windows disagree. */
const logit = (value: number, place: number, k: number): number =>
  Math.fround(Math.sin(3 * value + k) + ((place * (k + 3)) % 7) / 4);

async function logits(patch: Tensor): Promise<Tensor> {
  const values = [...patch.f32].flatMap((value, place) =>
    Array.from({ length: classes }, (_, k) => logit(value, place, k)),
  );
  return Tensor.from("f32", [...patch.shape, classes], values);
}

/** Starts of windows along an axis and the padding in front, by the rule of the papers' test script. */
function axis(extent: number, patch: number, stride: number): { starts: number[]; pad: number } {
  const pad = Math.max(patch - extent, 0);
  const padded = extent + pad;
  const count = Math.ceil((padded - patch) / stride) + 1;
  const starts = Array.from({ length: count }, (_, i) => Math.min(stride * i, padded - patch));
  return { starts, pad: Math.floor(pad / 2) };
}

interface Reference {
  readonly labels: number[];
  /** Probability of each voxel's label. */
  readonly confidence: number[];
}

/**
 * The same in double with sums over the whole volume, voxel by voxel.
 *
 * @param mirrors axes that are mirrored, as sums of 1 (x), 2 (y), 4 (z)
 * @param weight of a voxel of a window at these distances from its middle, in extents of the window
 */
function wholeVolume(
  image: Tensor,
  size: Voxels,
  patch: Voxels,
  stride: Voxels,
  mirrors: readonly number[] = [0],
  weight: (distances: readonly number[]) => number = () => 1,
): Reference {
  const [ax, ay, az] = [0, 1, 2].map((i) => axis(size[i] ?? 0, patch[i] ?? 0, stride[i] ?? 1));
  assert(ax && ay && az);
  const [labels, confidence]: [number[], number[]] = [[], []];
  const inside = (at: number, start: number, extent: number) => at >= start && at < start + extent;
  for (let z = 0; z < size[2]; z++)
    for (let y = 0; y < size[1]; y++)
      for (let x = 0; x < size[0]; x++) {
        const sums = new Array<number>(classes).fill(0);
        const [vx, vy, vz] = [x + ax.pad, y + ay.pad, z + az.pad];
        for (const sz of az.starts.filter((start) => inside(vz, start, patch[2])))
          for (const sy of ay.starts.filter((start) => inside(vy, start, patch[1])))
            for (const sx of ax.starts.filter((start) => inside(vx, start, patch[0]))) {
              const value = image.f32[(z * size[1] + y) * size[0] + x] ?? Number.NaN;
              const at = [vx - sx, vy - sy, vz - sz];
              const share = weight(
                at.map((i, axis) => (i - ((patch[axis] ?? 0) - 1) / 2) / (patch[axis] ?? 1)),
              );
              for (const mirror of mirrors) {
                const [px = 0, py = 0, pz = 0] = at.map((i, axis) =>
                  mirror & (1 << axis) ? (patch[axis] ?? 0) - 1 - i : i,
                );
                const place = (pz * patch[1] + py) * patch[0] + px;
                const powers = sums.map((_, k) => Math.exp(logit(value, place, k)));
                const total = powers.reduce((sum, power) => sum + power, 0);
                for (const [k, power] of powers.entries()) sums[k] = (sums[k] ?? 0) + (share * power) / total;
              }
            }
        labels.push(sums.indexOf(Math.max(...sums)));
        confidence.push(Math.max(...sums) / sums.reduce((sum, value) => sum + value, 0));
      }
  return { labels, confidence };
}

describe("slidingWindow", () => {
  const cases: readonly (readonly [what: string, size: Voxels, patch: Voxels, stride: Voxels])[] = [
    ["windows that overlap", [11, 9, 13], [4, 5, 4], [3, 2, 1]],
    ["windows side by side", [8, 8, 12], [4, 4, 4], [4, 4, 4]],
    ["a last window that is moved back", [7, 6, 10], [4, 4, 4], [4, 4, 4]],
    ["a volume smaller than the patch on every axis", [3, 4, 2], [5, 5, 5], [2, 2, 2]],
    ["a volume smaller than the patch in z alone", [9, 7, 3], [4, 4, 6], [2, 3, 5]],
    ["a volume smaller than the patch in the slice", [3, 2, 9], [4, 5, 4], [1, 1, 3]],
    ["one window", [4, 5, 6], [4, 5, 6], [1, 1, 1]],
  ];
  for (const [what, size, patch, stride] of cases) {
    it(`averages ${what} as sums over the whole volume do`, async () => {
      using image = volume(size);
      const steps: number[] = [];
      using result = await slidingWindow(
        image,
        { channels: 1, classes, patch, usualStride: stride, logits },
        { onWindow: (done) => steps.push(done) },
      );
      const labels = result.labels;
      assert.deepEqual([...labels.u8], wholeVolume(image, size, patch, stride).labels);
      assert.deepEqual([...new Set(labels.u8)].sort(), [0, 1, 2], "one class alone proves little");
      const windows = [0, 1, 2].map((i) => axis(size[i] ?? 0, patch[i] ?? 0, stride[i] ?? 1).starts.length);
      assert.equal(
        steps.at(-1),
        windows.reduce((product, count) => product * count, 1),
      );
    });
  }

  const variants = [
    ["mirror images", { mirror: true }, [0, 1, 2, 3, 4, 5, 6, 7], () => 1],
    [
      "Gaussian windows",
      { weighting: "gaussian" },
      [0],
      (at: readonly number[]) => Math.exp(-0.5 * 64 * at.reduce((sum, distance) => sum + distance ** 2, 0)),
    ],
  ] as const;
  for (const [what, options, mirrors, weight] of variants) {
    it(`averages ${what} as sums over the whole volume do, and says how sure it is`, async () => {
      const [size, patch, stride]: Voxels[] = [
        [9, 6, 3],
        [4, 5, 4],
        [3, 1, 2],
      ];
      assert.ok(size && patch && stride);
      using image = volume(size);
      const network = { channels: 1, classes, patch, usualStride: stride, logits };
      using result = await slidingWindow(image, network, { ...options, maps: "probabilities" });
      const expected = wholeVolume(image, size, patch, stride, mirrors, weight);
      assert.deepEqual([...result.labels.u8], expected.labels);
      // Sums in float of up to 8 x 4 windows.
      const near = (value: number, wanted: number) =>
        assert.ok(Math.abs(value - wanted) < 1e-5, `${value}, ${wanted}`);
      const mean = (values: readonly number[]) =>
        values.reduce((sum, value) => sum + value, 0) / values.length;
      near(result.meanConfidence, mean(expected.confidence));
      const foreground = expected.confidence.filter((_, i) => expected.labels[i] !== 0);
      near(result.foregroundConfidence ?? Number.NaN, mean(foreground));
      for (const [i, value] of expected.confidence.entries()) {
        assert.ok(Math.abs((result.confidence?.[i] ?? 0) - 255 * value) <= 0.5 + 255e-5);
        assert.equal(result.probabilities[expected.labels[i] ?? 0]?.[i], result.confidence?.[i]);
      }
    });
  }

  it("gives a window all channels of its voxels, mirrored ones too, and refuses another number of them", async () => {
    const [size, patch]: [Voxels, Voxels] = [
      [9, 6, 3],
      [4, 5, 4],
    ];
    using first = volume(size);
    using second = Tensor.from(
      "f32",
      first.shape,
      first.f32.map((value) => 2 * value),
    );
    let windows = 0;
    const network = { channels: 2, classes, patch, usualStride: patch };
    const model = {
      ...network,
      logits: (window: Tensor) => {
        windows++;
        const { f32 } = window;
        assert.equal(window.shape.at(-1), 2);
        for (let i = 0; i < f32.length; i += 2) assert.equal(f32[i + 1], 2 * (f32[i] ?? 0));
        return logits(
          Tensor.from(
            "f32",
            window.shape.slice(0, 4),
            f32.filter((_, i) => i % 2 === 0),
          ),
        );
      },
    };
    using result = await slidingWindow([first, second], model, { mirror: true });
    using expected = await slidingWindow(first, { ...network, channels: 1, logits }, { mirror: true });
    assert.deepEqual(result.labels.u8, expected.labels.u8);
    assert.equal(windows, 8 * 3 * 2);
    await assert.rejects(
      slidingWindow(first, model),
      /^DataError: image: expected 2 channels as the network was trained on, received 1/,
    );
  });

  it("keeps probabilities of a patch's slices, not of the volume's", async () => {
    const [side, depth, many] = [64, 2048, 16];
    using image = Tensor.zeros("f32", [depth, side, side]);
    using logits = Tensor.zeros("f32", [1, 16, side, side, many]);
    for (let i = 5; i < logits.count; i += many) logits.f32[i] = 1;
    const before = process.resourceUsage().maxRSS;
    const patch = [side, side, 16] as const;
    const usualStride = [side, side, 8] as const;
    using result = await slidingWindow(image, {
      channels: 1,
      classes: many,
      patch,
      usualStride,
      logits: async () => logits,
    });
    const { labels } = result;
    const megabytes = (process.resourceUsage().maxRSS - before) / 1024;
    assert.ok(labels.u8.every((label) => label === 5));
    // Of the whole volume they would take 512 MB; image and labels take 40.
    assert.ok(megabytes < 150, `${megabytes.toFixed(0)} MB`);
  });
});
