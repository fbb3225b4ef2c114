import { SAME_PLACE } from "../data/grid-match.js";
import { cross, dot, length, scale, subtract } from "../data/vectors.js";
import type { Vec3 } from "../data/volume.js";
import { DataError } from "../errors.js";

/** Where a slice lies. Places and directions are DICOM's: x to the left, y to the back, z up (LPS). */
export interface Slice {
  /** Name of the file, for messages. */
  readonly name: string;
  /** SeriesInstanceUID. */
  readonly series: string;
  /** Pixels. */
  readonly rows: number;
  readonly columns: number;
  /** Centre of the first pixel, mm. */
  readonly position: Vec3;
  /** Unit vectors along a row, and from row to row. */
  readonly alongRow: Vec3;
  readonly alongColumn: Vec3;
  /** Distance of pixel centres, mm: from row to row, and along a row. */
  readonly pixelSpacing: readonly [rows: number, columns: number];
}

/** Slices in order, as one volume. */
export interface SliceStack<T extends Slice> {
  readonly slices: readonly T[];
  /** Steps along rows, from row to row and from slice to slice, and the first voxel; mm, LPS. */
  readonly columns: readonly [Vec3, Vec3, Vec3, Vec3];
}

/** Components of unit vectors that differ by less are the same; DICOM files round to 4 and more digits. */
const SAME_DIRECTION = 1e-3;
/** Distances of slices that differ by less than this share of them are the same: positions are rounded to 0.01 mm. */
const SAME_STEP = 0.05;
/** Slices that are nearer than this are at the same place, mm. */
const SAME_DEPTH = 0.01;
/** A stack that leans over by more than this share of a pixel from its first slice to its last is sheared. */
const UPRIGHT = 0.5;

/**
 * Sorts slices by their place along the normal of their planes.
 *
 * @param folder for messages
 * @throws DataError when they are fewer than two, of several series, of unlike size or direction, twice at one place,
 *   with a gap, unevenly spaced, or sheared (gantry tilt)
 */
export function stackSlices<T extends Slice>(folder: string, slices: readonly T[]): SliceStack<T> {
  const [first, second] = slices;
  if (first === undefined || second === undefined) {
    throw new DataError(
      `${folder}: expected at least 2 slices of a series, received ${slices.length}; give the folder of all its slices`,
    );
  }
  refuseSkew(folder, first);
  for (const slice of slices) refuseUnlike(folder, first, slice);
  const normal = cross(first.alongRow, first.alongColumn);
  const depth = ({ position }: Slice): number => dot(position, normal);
  const sorted = [...slices].sort((a, b) => depth(a) - depth(b));
  refuseUneven(folder, sorted, depth);
  const begin = sorted[0] ?? first;
  const end = sorted.at(-1) ?? first;
  const way = subtract(end.position, begin.position);
  const lean = length(subtract(way, scale(normal, dot(way, normal))));
  if (lean > UPRIGHT * Math.min(...first.pixelSpacing)) {
    throw new DataError(
      `${folder}: expected slices straight above each other, received a stack that leans over by ${short(lean)} mm ` +
        "(gantry tilt); resample the series in another program",
    );
  }
  const [rowStep, columnStep] = first.pixelSpacing;
  const columns = [
    scale(first.alongRow, columnStep),
    scale(first.alongColumn, rowStep),
    scale(way, 1 / (sorted.length - 1)),
    begin.position,
  ] as const;
  return { slices: sorted, columns };
}

/** The steps between slices must be alike, and no slice far from where the mean step puts it. */
function refuseUneven<T extends Slice>(
  folder: string,
  sorted: readonly T[],
  depth: (slice: T) => number,
): void {
  const steps = sorted.slice(1).map((slice, i) => depth(slice) - depth(sorted[i] ?? slice));
  const names = (i: number): string => `${sorted[i]?.name} and ${sorted[i + 1]?.name}`;
  const twice = steps.findIndex((step) => !(step > SAME_DEPTH));
  if (twice >= 0) {
    throw new DataError(
      `${folder}: expected one slice at each place, received ${names(twice)} at the same; keep one volume's slices only`,
    );
  }
  const usual = [...steps].sort((a, b) => a - b)[Math.floor((steps.length - 1) / 2)] ?? 0;
  const gap = steps.findIndex((step) => Math.abs(step - usual) > SAME_STEP * usual);
  if (gap >= 0) {
    throw new DataError(
      `${folder}: expected ${short(usual)} mm from slice to slice, ` +
        `received ${short(steps[gap] ?? 0)} mm between ${names(gap)}; ` +
        "add the slices that are missing, or resample the series in another program",
    );
  }
  const depths = sorted.map(depth);
  const [begin = 0] = depths;
  const mean = ((depths.at(-1) ?? 0) - begin) / steps.length;
  const off = depths.map((place, i) => Math.abs(place - begin - i * mean));
  const astray = off.findIndex((distance) => distance > SAME_PLACE * mean);
  if (astray < 0) return;
  throw new DataError(
    `${folder}: expected slices every ${short(mean)} mm, received ${sorted[astray]?.name} ` +
      `${short(off[astray] ?? 0)} mm from its place; resample the series in another program`,
  );
}

function refuseSkew(folder: string, { name, alongRow, alongColumn }: Slice): void {
  const isUnit = (a: Vec3): boolean => Math.abs(length(a) - 1) <= SAME_DIRECTION;
  if (isUnit(alongRow) && isUnit(alongColumn) && Math.abs(dot(alongRow, alongColumn)) <= SAME_DIRECTION)
    return;
  throw new DataError(
    `${folder}: expected two directions of length 1 at right angles for ImageOrientationPatient, ` +
      `received ${alongRow} and ${alongColumn} in ${name}; leave this file out`,
  );
}

function refuseUnlike(folder: string, first: Slice, slice: Slice): void {
  const refuse = (what: string, cure: string): never => {
    throw new DataError(
      `${folder}: expected slices of one ${what}, received ${first.name} and ${slice.name}, which differ; ${cure}`,
    );
  };
  if (slice.series !== first.series) refuse("series", "give each series a folder of its own");
  if (slice.rows !== first.rows || slice.columns !== first.columns)
    refuse("size", "leave out pictures that are no slices");
  const isFar = (a: Vec3, b: Vec3): boolean => length(subtract(a, b)) > SAME_DIRECTION;
  if (isFar(slice.alongRow, first.alongRow) || isFar(slice.alongColumn, first.alongColumn))
    refuse("direction", "leave out localizers and reformatted slices");
  if (
    slice.pixelSpacing.some(
      (step, i) => Math.abs(step - (first.pixelSpacing[i] ?? 0)) > SAME_DIRECTION * step,
    )
  )
    refuse("pixel spacing", "give the slices of one reconstruction");
}

const short = (value: number): number => Number(value.toPrecision(4));
