/** Between the axis order of PyTorch's files and the engine's: channels last, volumes as z, y, x. */
import assert from "node:assert/strict";

/** Elements of a row-major array with its axes reordered: axis i of the result is axis order[i] of the input. */
export function permute<T extends Float32Array | Uint8Array | Int32Array>(
  data: T,
  shape: readonly number[],
  order: readonly number[],
): Float32Array {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const extents = order.map((axis) => shape[axis] ?? 1);
  const steps = order.map((axis) => strides[axis] ?? 1);
  const result = new Float32Array(data.length);
  const index = new Array<number>(order.length).fill(0);
  for (let i = 0; i < result.length; i++) {
    result[i] = data[index.reduce((sum, position, axis) => sum + position * (steps[axis] ?? 0), 0)] ?? 0;
    for (let axis = index.length - 1; axis >= 0; axis--) {
      index[axis] = ((index[axis] ?? 0) + 1) % (extents[axis] ?? 1);
      if (index[axis] !== 0) break;
    }
  }
  return result;
}

/** [N, C, H, W, D] (x, y, z) -> [N, z, y, x, C]. */
export const volumeOrder = [0, 4, 3, 2, 1] as const;
/** [N, H, W, D] -> [N, z, y, x]. */
export const labelOrder = [0, 3, 2, 1] as const;
/** [N, C, rows, columns] -> [N, rows, columns, C]. */
export const canvasOrder = [0, 2, 3, 1] as const;

/** Square root of the mean square. */
export function rms(a: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) ** 2;
  return Math.sqrt(sum / Math.max(a.length, 1));
}

/** Throws when the root mean square of the difference exceeds `bound`, relative to that of `target`. */
export function close(name: string, own: ArrayLike<number>, target: ArrayLike<number>, bound: number): void {
  assert.equal(own.length, target.length, name);
  const difference = Float64Array.from(target, (value, i) => value - (own[i] ?? Number.NaN));
  const distance = rms(difference) / rms(target);
  assert.ok(distance <= bound, `${name}: expected a distance <= ${bound}, received ${distance}`);
}
