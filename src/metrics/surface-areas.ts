/** Area of a surface within a cell of eight voxels, as the package surface-distance counts it. */

/** A point of the cell, (z, y, x) from 0 to 1. */
type Point = readonly [number, number, number];
type Triangle = readonly [Point, Point, Point];

/** Voxel i of a cell: its bit in a code is 1 << i. */
const corners: readonly Point[] = Array.from({ length: 8 }, (_, i): Point => [i >> 2, (i >> 1) & 1, i & 1]);

/**
 * Area by code of a cell (`ops.surfaceDistances`): f32 [256], in squared units of the spacing (x, y, z). A surface cuts the
 * cell's edges in their middles; each connected group of at most four voxels lies behind a polygon of its own (marching
 * cubes). Where a polygon is not flat, the triangles that fill it are chosen to have the largest area in a cubic cell,
 * which gives the areas of surface-distance's table.
 */
export function surfaceAreas([x, y, z]: readonly [number, number, number]): Float32Array {
  const size: Point = [z, y, x];
  return Float32Array.from({ length: 256 }, (_, code) => sum(triangles(code).map((t) => area(t, size))));
}

function triangles(code: number): Triangle[] {
  const inside = corners.filter((_, i) => (code >> i) & 1);
  const few = inside.length <= 4 ? inside : corners.filter((corner) => !inside.includes(corner));
  return groups(few).flatMap((group) => filling(polygon(group)));
}

/** Voxels that are connected along edges. */
function groups(voxels: readonly Point[]): Point[][] {
  const found: Point[][] = [];
  for (const voxel of voxels) {
    const touching = found.filter((group) => group.some((other) => steps(voxel, other) === 1));
    const others = found.filter((group) => !touching.includes(group));
    found.splice(0, found.length, ...others, [...touching.flat(), voxel]);
  }
  return found;
}

/** Middles of the edges that leave the group, one after the other around it. */
function polygon(group: readonly Point[]): Point[] {
  const cuts = group.flatMap((voxel) =>
    corners
      .filter((other) => steps(voxel, other) === 1 && !group.includes(other))
      .map((other): Point => [mid(voxel[0], other[0]), mid(voxel[1], other[1]), mid(voxel[2], other[2])]),
  );
  return ring(cuts.slice(0, 1), cuts.slice(1)) ?? [];
}

/** `start` continued through all of `rest` and back, from face to face of the cell; undefined when there is no way. */
function ring(start: readonly Point[], rest: readonly Point[]): Point[] | undefined {
  const [first, last] = [start[0], start.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  if (rest.length === 0) return shareFace(last, first) ? [...start] : undefined;
  for (const next of rest) {
    if (!shareFace(last, next)) continue;
    const whole = ring(
      [...start, next],
      rest.filter((point) => point !== next),
    );
    if (whole !== undefined) return whole;
  }
  return undefined;
}

/** Triangles of a polygon, their area in a cubic cell as large as can be. */
function filling(points: readonly Point[]): Triangle[] {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined || points.length < 3) return [];
  let best: Triangle[] = [];
  for (let i = 1; i < points.length - 1; i++) {
    const tip = points[i] ?? first;
    const all = [
      ...filling(points.slice(0, i + 1)),
      [first, tip, last] as const,
      ...filling(points.slice(i)),
    ];
    const size = (list: readonly Triangle[]) => sum(list.map((t) => area(t, [1, 1, 1])));
    // The first of equals, but for rounding.
    if (best.length === 0 || size(all) > size(best) + 1e-9) best = all;
  }
  return best;
}

function area([a, b, c]: Triangle, size: Point): number {
  const [u, v] = [scaled(a, b, size), scaled(a, c, size)];
  return Math.hypot(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]) / 2;
}

function scaled(from: Point, to: Point, size: Point): Point {
  return [(to[0] - from[0]) * size[0], (to[1] - from[1]) * size[1], (to[2] - from[2]) * size[2]];
}

function shareFace(a: Point, b: Point): boolean {
  return [0, 1, 2].some((axis) => a[axis] === b[axis] && a[axis] !== 0.5);
}

function steps(a: Point, b: Point): number {
  return Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]) + Math.abs(a[2] - b[2]);
}

function mid(a: number, b: number): number {
  return (a + b) / 2;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
