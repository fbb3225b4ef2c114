import type { Value } from "../../graph/graph.js";
import * as ops from "../../graph/ops.js";

/** Cubes along z, y and x. */
type Grid = readonly [number, number, number];

/** Side of the cubes of crops [N, D, H, W, ..], voxels: 32, or 16 where an extent is no multiple of that. */
export function cubeSide(shape: readonly number[]): number {
  return shape.slice(1, 4).every((extent) => extent % 32 === 0) ? 32 : 16;
}

export function gridOf(shape: readonly number[], side: number): Grid {
  const [d = 0, h = 0, w = 0] = shape.slice(1, 4);
  return [d / side, h / side, w / side];
}

/** Crops [N, D, H, W, C] cut into cubes -> [N * places, side, side, side, C], a crop's one behind the other, x fastest. */
export function cubes(crops: Value, side: number): Value {
  const cut = (x: Value, axis: number, length: number) =>
    Array.from({ length: x.dim(axis) / length }, (_, i) => ops.slice(x, axis, i * length, (i + 1) * length));
  const all = cut(crops, 0, 1)
    .flatMap((crop) => cut(crop, 1, side))
    .flatMap((slab) => cut(slab, 2, side))
    .flatMap((row) => cut(row, 3, side));
  return ops.concat(all, 0);
}

/**
 * Cubes of `cubes` put together: [N * places, side, side, side, C] -> [N, D, H, W, C]. With `swapped` the cube of place
 * (z, y, x) goes to (x, y, z), as in MagicNet's released code.
 */
export function tiled(map: Value, [slabs, rows, columns]: Grid, swapped: boolean): Value {
  const places = slabs * rows * columns;
  const range = (length: number) => Array.from({ length }, (_, i) => i);
  const cube = (n: number, z: number, y: number, x: number) => {
    const [from, to] = swapped ? [x, z] : [z, x];
    const index = n * places + (from * rows + y) * columns + to;
    return ops.slice(map, 0, index, index + 1);
  };
  const row = (n: number, z: number, y: number) =>
    ops.concat(
      range(columns).map((x) => cube(n, z, y, x)),
      3,
    );
  const slab = (n: number, z: number) =>
    ops.concat(
      range(rows).map((y) => row(n, z, y)),
      2,
    );
  const crop = (n: number) =>
    ops.concat(
      range(slabs).map((z) => slab(n, z)),
      1,
    );
  return ops.concat(range(map.dim(0) / places).map(crop), 0);
}
