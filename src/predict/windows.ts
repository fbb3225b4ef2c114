import type { Voxels } from "../config/schema.js";
import { UsageError } from "../errors.js";

/** Corner of a window in voxels, (x, y, z); negative where the volume is padded. */
export type Corner = readonly [number, number, number];

/**
 * Corners of sliding windows over a volume, z rising: starts at i * stride, the last one moved back to end at the border.
 * A volume smaller than the patch along an axis is centre-padded there, so the only corner is negative.
 */
export function windowCorners(extents: Voxels, patch: Voxels, stride: Voxels): Corner[] {
  const starts = [0, 1, 2].map((axis) => axisStarts(extents[axis] ?? 0, patch[axis] ?? 0, stride[axis] ?? 1));
  const [xs = [], ys = [], zs = []] = starts;
  return zs.flatMap((z) => ys.flatMap((y) => xs.map((x): Corner => [x, y, z])));
}

function axisStarts(extent: number, patch: number, stride: number): number[] {
  if (extent <= patch) return [-Math.floor((patch - extent) / 2)];
  const count = Math.ceil((extent - patch) / stride) + 1;
  return Array.from({ length: count }, (_, i) => Math.min(i * stride, extent - patch));
}

/** A quarter of the patch, at least one voxel. */
export function quarterStride(patch: Voxels): Voxels {
  const quarter = (extent: number) => Math.max(1, Math.floor(extent / 4));
  return [quarter(patch[0]), quarter(patch[1]), quarter(patch[2])];
}

/** Half the patch, at least one voxel. */
export function halfStride(patch: Voxels): Voxels {
  const half = (extent: number) => Math.max(1, Math.floor(extent / 2));
  return [half(patch[0]), half(patch[1]), half(patch[2])];
}

/** Weights of a window's voxels, [z][y][x]: a Gaussian around its middle with a deviation of an eighth of each extent. */
export function gaussianWeights([px, py, pz]: Voxels): Float32Array {
  const along = (extent: number) =>
    Array.from({ length: extent }, (_, i) => Math.exp(-0.5 * ((8 * (i - (extent - 1) / 2)) / extent) ** 2));
  const [xs, ys, zs] = [along(px), along(py), along(pz)];
  return Float32Array.from(zs.flatMap((z) => ys.flatMap((y) => xs.map((x) => x * y * z))));
}

/** @throws UsageError when windows of this stride would leave voxels between them that no window covers */
export function checkStride(patch: Voxels, stride: Voxels): void {
  if (stride.every((step, axis) => step <= (patch[axis] ?? 0))) return;
  throw new UsageError(
    `stride: expected at most the patch, ${patch.join(" x ")} voxels, received ${stride.join(" x ")}; ` +
      "a quarter of the patch is usual",
  );
}
