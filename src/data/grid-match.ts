import { column, stepLengths } from "./orientation.js";
import { type Affine, formatShape, sameShape, type Vec3, type Volume } from "./volume.js";

/** Two grids are the same when no corner voxel is further apart than this share of the smallest voxel edge. */
export const SAME_PLACE = 0.1;
/** Spacings that differ by less than this share are not what is wrong. */
const SAME_SPACING = 1e-3;

/** Where voxels lie, without the voxels. */
export type Grid = Pick<Volume, "shape" | "spacing" | "grid">;

/** The first thing in which two grids differ. */
export interface GridDifference {
  readonly what: "shape" | "geometry" | "spacing" | "origin" | "direction";
  /** For messages. */
  readonly expected: string;
  readonly received: string;
}

/**
 * Compares grids in memory's orientation, so files whose axes are turned or flipped but whose voxels lie at the same
 * places are alike. Shapes must be equal; places may differ by a tenth of a voxel, more than headers are ever rounded.
 *
 * @returns null when both grids are the same, or neither says where it lies
 */
export function gridDifference(expected: Grid, received: Grid): GridDifference | null {
  if (!sameShape(expected.shape, received.shape)) {
    const voxels = ({ shape }: Grid): string => `${formatShape(shape)} voxels`;
    return { what: "shape", expected: voxels(expected), received: voxels(received) };
  }
  const [a, b] = [expected.grid?.affine, received.grid?.affine];
  if (a === undefined && b === undefined) return null;
  if (a === undefined || b === undefined) {
    const says = (affine: Affine | undefined): string =>
      affine === undefined ? "a file without spacing and origin" : "a file with spacing and origin";
    return { what: "geometry", expected: says(a), received: says(b) };
  }
  const steps = [stepLengths(a), stepLengths(b)] as const;
  if (cornerShift(a, b, expected.shape).voxels <= SAME_PLACE) return null;
  const named = (what: GridDifference["what"], x: Vec3, y: Vec3): GridDifference => ({
    what,
    expected: `${what} ${numbers(x)} mm`,
    received: numbers(y),
  });
  if (steps[0].some((step, axis) => Math.abs(step - (steps[1][axis] ?? 0)) > SAME_SPACING * step))
    return named("spacing", steps[0], steps[1]);
  const origins = [column(a, 3), column(b, 3)] as const;
  if (distance(origins[0], origins[1]) > SAME_PLACE * Math.min(...steps[0]))
    return named("origin", origins[0], origins[1]);
  return { what: "direction", expected: `axes along ${directions(a)}`, received: directions(b) };
}

/** Largest distance between the places that two affines give a corner voxel: mm, and in smallest voxel edges. */
export function cornerShift(a: Affine, b: Affine, [nx, ny, nz]: Vec3): { mm: number; voxels: number } {
  let farthest = 0;
  for (const x of [0, nx - 1]) {
    for (const y of [0, ny - 1]) {
      for (const z of [0, nz - 1])
        farthest = Math.max(farthest, distance(place(a, x, y, z), place(b, x, y, z)));
    }
  }
  return { mm: farthest, voxels: farthest / Math.min(...stepLengths(a), ...stepLengths(b)) };
}

function place(affine: Affine, x: number, y: number, z: number): Vec3 {
  const along = (row: number): number => {
    const [a, b, c, d] = affine[row] ?? [0, 0, 0, 0];
    return a * x + b * y + c * z + d;
  };
  return [along(0), along(1), along(2)];
}

const distance = (a: Vec3, b: Vec3): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

const numbers = (values: Vec3): string =>
  `(${values.map((value) => Number(value.toPrecision(6))).join(", ")})`;

function directions(affine: Affine): string {
  const steps = stepLengths(affine);
  return [0, 1, 2]
    .map((axis) => {
      const [x, y, z] = column(affine, axis);
      const length = steps[axis] ?? 1;
      return numbers([x / length, y / length, z / length]);
    })
    .join(" ");
}
