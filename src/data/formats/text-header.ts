import { dirname, join } from "node:path";
import { DataError } from "../../errors.js";
import { AS_STORED, closestOrientation, fromColumns, stepLengths } from "../orientation.js";
import type { Affine, Orientation, Vec3 } from "../volume.js";
import { checkAffine } from "./format.js";

/** Longest header that is read, bytes. */
export const MAX_TEXT_HEADER = 1 << 20;

/** Axes of a file as NRRD and MetaImage give them. */
export interface Axes {
  /** Steps along the file's axes, then the origin; mm, in the file's space. */
  readonly columns: readonly Vec3[];
  /** What turns the space's x, y, z into right, front, up: 1 or -1 each. */
  readonly toRas: Vec3;
}

/** The sign of each axis of LPS+, the space of ITK, in RAS+. */
export const LPS: Vec3 = [-1, -1, 1];

/** Affine, spacing and orientation of a file. @throws DataError when the axes span no volume */
export function placeAxes(
  path: string,
  axes: Axes | null,
): { affine: Affine | null; spacing: Vec3 | null; orientation: Orientation } {
  if (axes === null) return { affine: null, spacing: null, orientation: AS_STORED };
  const { columns, toRas } = axes;
  const turned = columns.map(([x, y, z]): Vec3 => [x * toRas[0] + 0, y * toRas[1] + 0, z * toRas[2] + 0]);
  const affine = checkAffine(path, fromColumns(turned));
  const orientation = closestOrientation(affine);
  if (orientation) return { affine, spacing: stepLengths(affine), orientation };
  throw new DataError(
    `${path}: expected three axes of some length in different directions, ` +
      `received ${columns.slice(0, 3).join(" ")}; correct the header`,
  );
}

/** The steps and the origin of an affine in LPS+. */
export function lpsColumns(affine: Affine): readonly (readonly number[])[] {
  return [0, 1, 2, 3].map((column) =>
    affine.slice(0, 3).map((row, axis) => (row[column] ?? 0) * (LPS[axis] ?? 1) + 0),
  );
}

/** Whole or real numbers parted by white space. @throws DataError when one is none, or there are not `count` */
export function readNumbers(path: string, field: string, text: string, count?: number): number[] {
  const numbers = text.trim().split(/\s+/).map(Number);
  if (numbers.every(Number.isFinite) && (count === undefined || numbers.length === count)) return numbers;
  throw new DataError(
    `${path}: expected ${count ?? "some"} numbers for '${field}', received '${text}'; correct the header`,
  );
}

/** Path of the voxels that a header names; only files beside it. @throws DataError */
export function besideHeader(path: string, name: string): string {
  if (name !== "" && !/[/\\\0]/.test(name) && name !== "..") return join(dirname(path), name);
  throw new DataError(
    `${path}: expected the name of a file beside the header for its voxels, received '${name}'; put both into one folder`,
  );
}
