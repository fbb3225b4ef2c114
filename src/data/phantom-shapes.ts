import type { Vec3 } from "./volume.js";

/** A value at a point in voxel coordinates: by default whether it lies inside a shape. */
export type Inside<T = boolean> = (x: number, y: number, z: number) => T;

/** An ellipsoid turned about the z axis; lengths in voxels, angle in radians. */
export interface Ball {
  readonly centre: Vec3;
  readonly radii: Vec3;
  readonly turn: number;
}

/** Inside an ellipsoid. */
export function ellipsoid({ centre, radii, turn }: Ball): Inside {
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  return (x, y, z) => {
    const dx = x - centre[0];
    const dy = y - centre[1];
    const u = (cos * dx + sin * dy) / radii[0];
    const v = (cos * dy - sin * dx) / radii[1];
    const w = (z - centre[2]) / radii[2];
    return u * u + v * v + w * w <= 1;
  };
}

/** Within `radius` voxels of the curve (quadratic Bezier) from `from` to `to` that bends towards `by`. */
export function tube(curve: { from: Vec3; by: Vec3; to: Vec3; radius: number }): Inside {
  const { from, by, to, radius } = curve;
  // Pieces of about a voxel: the union of their balls looks smooth at this radius.
  const points = Array.from({ length: 49 }, (_, i): Vec3 => {
    const t = i / 48;
    const at = (axis: 0 | 1 | 2): number =>
      (1 - t) ** 2 * from[axis] + 2 * t * (1 - t) * by[axis] + t ** 2 * to[axis];
    return [at(0), at(1), at(2)];
  });
  const low = [0, 1, 2].map((axis) => Math.min(...points.map((p) => p[axis] ?? 0)) - radius);
  const high = [0, 1, 2].map((axis) => Math.max(...points.map((p) => p[axis] ?? 0)) + radius);
  const outside = (value: number, axis: number): boolean =>
    value < (low[axis] ?? 0) || value > (high[axis] ?? 0);
  return (x, y, z) =>
    !(outside(x, 0) || outside(y, 1) || outside(z, 2)) &&
    points.some((p) => (x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2 <= radius * radius);
}

/** Inside at least one of the shapes. */
export function insideAny(shapes: readonly Inside[]): Inside {
  return (x, y, z) => shapes.some((inside) => inside(x, y, z));
}
