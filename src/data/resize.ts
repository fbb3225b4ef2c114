import type { Box } from "./case-geometry.js";
import { type Vec3, voxelCount } from "./volume.js";

/** Which old voxels along an axis a new one is made of. */
export interface Taps {
  /** By new voxel: the first old one. */
  readonly first: Int32Array;
  /** Old voxels of a new one; weights beyond the border are 0. */
  readonly count: number;
  /** By new voxel and old one; they add up to 1. */
  readonly weights: Float32Array;
}

/**
 * Linear interpolation between voxel centres, the outer faces of the first and last voxel in place (PyTorch's
 * align_corners = false). Where voxels become larger the triangle widens with them, so that every old voxel counts;
 * at the border what lies outside is left out.
 *
 * @param from extent before, voxels
 * @param to extent after
 */
export function axisTaps(from: number, to: number): Taps {
  const ratio = from / to;
  const radius = Math.max(1, ratio);
  // An open interval of this width holds no more whole numbers.
  const count = Math.min(from, Math.ceil(2 * radius));
  const first = new Int32Array(to);
  const weights = new Float32Array(to * count);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * ratio - 0.5;
    const begin = Math.min(Math.max(Math.floor(centre - radius) + 1, 0), from - count);
    const own = Array.from({ length: count }, (_, j) =>
      Math.max(0, 1 - Math.abs(begin + j - centre) / radius),
    );
    const total = own.reduce((sum, weight) => sum + weight);
    first[i] = begin;
    for (const [j, weight] of own.entries()) weights[i * count + j] = weight / total;
  }
  return { first, count, weights };
}

/** Taps along x, y, z. */
export function boxTaps(from: Vec3, to: Vec3): readonly [Taps, Taps, Taps] {
  return [axisTaps(from[0], to[0]), axisTaps(from[1], to[1]), axisTaps(from[2], to[2])];
}

/**
 * target = the sum of `count` rows of `length` values that lie `stride` apart, weighted.
 *
 * @param from position of the first row
 * @param weights of which `count` from position `at` on are taken
 */
export function blendRows(
  target: Float32Array,
  rows: Float32Array,
  { from, stride, count, length }: { from: number; stride: number; count: number; length: number },
  weights: Float32Array,
  at: number,
): void {
  const first = weights[at] ?? 0;
  for (let i = 0; i < length; i++) target[i] = first * (rows[from + i] ?? 0);
  for (let j = 1; j < count; j++) {
    const weight = weights[at + j] ?? 0;
    if (weight === 0) continue;
    const row = from + j * stride;
    for (let i = 0; i < length; i++) target[i] = (target[i] ?? 0) + weight * (rows[row + i] ?? 0);
  }
}

/**
 * A part of an image at other extents, by axisTaps.
 *
 * @param data [z][y][x] of the whole image
 * @param from extents of the whole image, voxels (x, y, z)
 * @param to extents of the result
 */
export function resizeImage(data: Float32Array, from: Vec3, { begin, shape }: Box, to: Vec3): Float32Array {
  const [width, height] = from;
  const [alongX, alongY, alongZ] = boxTaps(shape, to);
  const out = new Float32Array(voxelCount(to));
  const plane = new Float32Array(shape[0] * shape[1]);
  const line = new Float32Array(shape[0]);
  let at = 0;
  for (let z = 0; z < to[2]; z++) {
    const slice = begin[2] + (alongZ.first[z] ?? 0);
    for (let y = 0; y < shape[1]; y++) {
      const start = (slice * height + begin[1] + y) * width + begin[0];
      const rows = { from: start, stride: width * height, count: alongZ.count, length: shape[0] };
      const target = plane.subarray(y * shape[0], (y + 1) * shape[0]);
      blendRows(target, data, rows, alongZ.weights, z * alongZ.count);
    }
    for (let y = 0; y < to[1]; y++) {
      const rows = {
        from: (alongY.first[y] ?? 0) * shape[0],
        stride: shape[0],
        count: alongY.count,
        length: shape[0],
      };
      blendRows(line, plane, rows, alongY.weights, y * alongY.count);
      at = blendLine(line, alongX, out, at);
    }
  }
  return out;
}

/** Writes a line at its new extent to position `at` and returns the position after it. */
function blendLine(
  line: Float32Array,
  { first, count, weights }: Taps,
  out: Float32Array,
  at: number,
): number {
  for (let x = 0; x < first.length; x++) {
    const begin = first[x] ?? 0;
    let sum = 0;
    for (let j = 0; j < count; j++) sum += (weights[x * count + j] ?? 0) * (line[begin + j] ?? 0);
    out[at + x] = sum;
  }
  return at + first.length;
}

/**
 * A part of a label map at other extents: every class is interpolated by itself as an image of zeros and ones, and the
 * largest wins (the smaller number among equals).
 *
 * @param data [z][y][x] of the whole map, 255 (ignored) as a class among others
 * @param from extents of the whole map, voxels (x, y, z)
 * @param to extents of the result
 */
export function resizeLabels(data: Uint8Array, from: Vec3, { begin, shape }: Box, to: Vec3): Uint8Array {
  const [width, height] = from;
  const [alongX, alongY, alongZ] = boxTaps(shape, to);
  const out = new Uint8Array(voxelCount(to));
  const votes = new Float32Array(256);
  // Positions and weights of the lines that a line of the result is made of.
  const lines = new Int32Array(alongY.count * alongZ.count);
  const shares = new Float32Array(lines.length);
  let at = 0;
  for (let z = 0; z < to[2]; z++) {
    for (let y = 0; y < to[1]; y++) {
      let used = 0;
      for (let i = 0; i < lines.length; i++) {
        const [j, k] = [i % alongY.count, Math.floor(i / alongY.count)];
        const share =
          (alongY.weights[y * alongY.count + j] ?? 0) * (alongZ.weights[z * alongZ.count + k] ?? 0);
        if (share === 0) continue;
        const row = (begin[2] + (alongZ.first[z] ?? 0) + k) * height + begin[1] + (alongY.first[y] ?? 0) + j;
        lines[used] = row * width + begin[0];
        shares[used++] = share;
      }
      for (let x = 0; x < to[0]; x++) out[at++] = vote(data, lines, shares, used, alongX, x, votes);
    }
  }
  return out;
}

/** The class with the largest share in voxel x of a line. `votes` are zeros before and after. */
function vote(
  data: Uint8Array,
  lines: Int32Array,
  shares: Float32Array,
  used: number,
  { first, count, weights }: Taps,
  x: number,
  votes: Float32Array,
): number {
  const begin = first[x] ?? 0;
  const common = data[(lines[0] ?? 0) + begin] ?? 0;
  let isCommon = true;
  for (let i = 0; i < used && isCommon; i++) {
    const line = (lines[i] ?? 0) + begin;
    for (let j = 0; j < count; j++) {
      if (data[line + j] !== common) isCommon = false;
    }
  }
  if (isCommon) return common;
  for (let i = 0; i < used; i++) {
    const line = (lines[i] ?? 0) + begin;
    for (let j = 0; j < count; j++) {
      const label = data[line + j] ?? 0;
      votes[label] = (votes[label] ?? 0) + (shares[i] ?? 0) * (weights[x * count + j] ?? 0);
    }
  }
  let best = 0;
  for (let label = 1; label < 256; label++) if ((votes[label] ?? 0) > (votes[best] ?? 0)) best = label;
  votes.fill(0);
  return best;
}
