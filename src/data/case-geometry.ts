import type { Grid } from "./grid-match.js";
import { column, fromColumns, orientationLetters } from "./orientation.js";
import { add, scale } from "./vectors.js";
import { sameShape, type Vec3 } from "./volume.js";

/** A part of a volume: first voxel and extents, (x, y, z). */
export interface Box {
  readonly begin: Vec3;
  readonly shape: Vec3;
}

/**
 * How what a network sees was made from a file, and so the way back; every stage carries it. Axes are memory's; those
 * of the file and its header are in `source.grid`.
 */
export interface CaseGeometry {
  /** Where the voxels of the file lie. */
  readonly source: Grid;
  /** What of the file is seen, in its voxels. */
  readonly crop: Box;
  /** Extents to which the crop is resized, voxels; the middle of both stays, and so do their outer faces. */
  readonly shape: Vec3;
  /** Whether results are brought back to the file's grid; if not, they lie on the working grid. */
  readonly restores: boolean;
}

/** A file that is seen as it is. */
export function wholeGeometry({ shape, spacing, grid }: Grid): CaseGeometry {
  // Without the voxels that `Grid` does not know of.
  const source: Grid = grid === undefined ? { shape, spacing } : { shape, spacing, grid };
  return { source, crop: { begin: [0, 0, 0], shape }, shape, restores: true };
}

/** Whether what is seen has the voxels of the file, all of them. */
export function isWhole({ source, crop, shape }: CaseGeometry): boolean {
  return sameShape(source.shape, crop.shape) && sameShape(crop.shape, shape);
}

/** The voxels of the file that a box of what a network sees touches. */
export function boxInFile({ begin, shape }: Box, { crop, shape: seen }: CaseGeometry): Box {
  const along = (axis: 0 | 1 | 2): readonly [number, number] => {
    const at = (position: number): number => (position * crop.shape[axis]) / seen[axis];
    const first = Math.floor(at(begin[axis]));
    return [crop.begin[axis] + first, Math.ceil(at(begin[axis] + shape[axis])) - first];
  };
  const [x, y, z] = [along(0), along(1), along(2)];
  return { begin: [x[0], y[0], z[0]], shape: [x[1], y[1], z[1]] };
}

/**
 * The grid of what a network sees: its first voxel lies in the middle of the voxels of the file that it stands for.
 * Without a known spacing it has no place. Files on it keep the order of the source's axes and have a new header.
 */
export function workingGrid(geometry: CaseGeometry): Grid {
  const { source, crop, shape } = geometry;
  if (isWhole(geometry)) return source;
  const ratios = shape.map((extent, axis) => (crop.shape[axis] ?? 1) / extent);
  const [rx = 1, ry = 1, rz = 1] = ratios;
  const spacing: Vec3 | null = source.spacing && [
    rx * source.spacing[0],
    ry * source.spacing[1],
    rz * source.spacing[2],
  ];
  if (source.grid === undefined || spacing === null) return { shape, spacing };
  const { affine, orientation } = source.grid;
  let origin = column(affine, 3);
  const steps = ratios.map((ratio, axis) => {
    const step = column(affine, axis);
    origin = add(origin, scale(step, (crop.begin[axis] ?? 0) + (ratio - 1) / 2));
    return scale(step, ratio);
  });
  return { shape, spacing, grid: { affine: fromColumns([...steps, origin]), orientation, header: null } };
}

/** The record as people read it: voxels and mm along x, y, z; `axes`: the directions of the file's. */
export function describeGeometry(geometry: CaseGeometry): Record<string, unknown> {
  const { source, crop, shape } = geometry;
  const axes = source.grid ? orientationLetters(source.grid.orientation) : null;
  return {
    file: { voxels: source.shape, spacing: source.spacing, axes },
    crop: { begin: crop.begin, voxels: crop.shape },
    voxels: shape,
    spacing: workingGrid(geometry).spacing,
  };
}

/** The grid that results of a case are written on. */
export function resultGrid(geometry: CaseGeometry): Grid {
  return geometry.restores ? geometry.source : workingGrid(geometry);
}
