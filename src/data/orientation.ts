import { DataError } from "../errors.js";
import { add, cross, dot, length, scale } from "./vectors.js";
import type { Affine, Orientation, Vec3, Volume, VolumeGrid, VoxelArray } from "./volume.js";

/** Last row of every affine. */
export const LAST_ROW = [0, 0, 0, 1] as const;

/** Memory as the file has it. */
export const AS_STORED: Orientation = { axes: [0, 1, 2], flips: [false, false, false] };

/** Entries of direction cosines that differ by less are equal: the rounding of float32 headers. */
const TIE = 1e-5;
/** Normalised axes that span less volume than this lie in a plane, up to rounding. */
const FLAT = 1e-6;

type Matrix = [Vec3, Vec3, Vec3];

/**
 * The orientation in which memory axes x, y, z run closest to right, front and up (RAS+): nibabel's io_orientation.
 * Shear is taken out first (polar decomposition), then the axis with the clearest direction chooses first.
 *
 * @param affine of the file's axes
 * @returns null when two axes of the file are parallel, or one has no length
 */
export function closestOrientation(affine: Affine): Orientation | null {
  const columns = [0, 1, 2].map((axis) => column(affine, axis)).map((axis) => scale(axis, 1 / length(axis)));
  const [a, b, c] = columns;
  if (!a || !b || !c || !(Math.abs(dot(a, cross(b, c))) > FLAT)) return null;
  const directions = nearestRotation([a, b, c]);
  const axes: [number, number, number] = [0, 1, 2];
  const flips: [boolean, boolean, boolean] = [false, false, false];
  const free = new Set([0, 1, 2]);
  const clearness = directions.map((axis) => Math.max(...axis.map(Math.abs)));
  for (const fileAxis of byFallingClearness(clearness)) {
    const direction = directions[fileAxis] ?? [0, 0, 0];
    let best = -1;
    for (const axis of free) {
      if (best < 0 || Math.abs(direction[axis] ?? 0) > Math.abs(direction[best] ?? 0) + TIE) best = axis;
    }
    free.delete(best);
    axes[best] = fileAxis;
    flips[best] = (direction[best] ?? 0) < 0;
  }
  return { axes, flips };
}

function byFallingClearness(clearness: readonly number[]): number[] {
  return [0, 1, 2].sort((a, b) => {
    const difference = (clearness[b] ?? 0) - (clearness[a] ?? 0);
    return Math.abs(difference) < TIE ? a - b : difference;
  });
}

/** The orthogonal factor of the polar decomposition, by Newton's iteration X <- (X + X^-T) / 2 (Higham 1986). */
function nearestRotation(columns: Matrix): Matrix {
  let x = columns;
  // Converges quadratically once near; the first steps halve the largest stretch, 1 / FLAT at most.
  for (let step = 0; step < 40; step++) {
    const [a, b, c] = x;
    const volume = dot(a, cross(b, c));
    const inverse: Matrix = [cross(b, c), cross(c, a), cross(a, b)];
    const mean = (i: 0 | 1 | 2): Vec3 => scale(add(x[i], scale(inverse[i], 1 / volume)), 0.5);
    x = [mean(0), mean(1), mean(2)];
  }
  return x;
}

/**
 * The grid of a file whose axes have this affine.
 *
 * @param shape extents of the file's axes, voxels
 * @throws DataError when two axes are parallel, or one has no length
 */
export function gridFromAffine(affine: Affine, shape: Vec3): VolumeGrid {
  const orientation = closestOrientation(affine);
  if (!orientation) {
    throw new DataError(
      `affine: expected three axes in different directions, received ${affine.flat().join(" ")}; correct it`,
    );
  }
  return {
    affine: toMemoryAffine(affine, orientation, toMemoryOrder(shape, orientation)),
    orientation,
    header: null,
  };
}

/** From the affine of a file's axes to that of memory's. @param shape extents of memory's axes, voxels */
export function toMemoryAffine(affine: Affine, { axes, flips }: Orientation, shape: Vec3): Affine {
  let origin = column(affine, 3);
  const columns = axes.map((fileAxis, axis) => {
    const step = column(affine, fileAxis);
    if (!flips[axis]) return step;
    origin = add(origin, scale(step, (shape[axis] ?? 1) - 1));
    return scale(step, -1);
  });
  return fromColumns([...columns, origin]);
}

/** The inverse of toMemoryAffine. @param shape extents of memory's axes, voxels */
export function toFileAffine(affine: Affine, { axes, flips }: Orientation, shape: Vec3): Affine {
  let origin = column(affine, 3);
  const columns: Vec3[] = [];
  for (const [axis, fileAxis] of axes.entries()) {
    const step = column(affine, axis);
    columns[fileAxis] = flips[axis] ? scale(step, -1) : step;
    if (flips[axis]) origin = add(origin, scale(step, (shape[axis] ?? 1) - 1));
  }
  return fromColumns([...columns, origin]);
}

/** A value per axis of the file as one per axis of memory. */
export function toMemoryOrder(values: Vec3, { axes }: Orientation): Vec3 {
  return [values[axes[0]] ?? 0, values[axes[1]] ?? 0, values[axes[2]] ?? 0];
}

/** The inverse of toMemoryOrder. */
export function toFileOrder(values: Vec3, { axes }: Orientation): Vec3 {
  const out: [number, number, number] = [0, 0, 0];
  for (const [axis, fileAxis] of axes.entries()) out[fileAxis] = values[axis] ?? 0;
  return out;
}

/** Letters of the directions in which the file's axes run: `LPS`. */
export function orientationLetters({ axes, flips }: Orientation): string {
  const letters: string[] = [];
  for (const [axis, fileAxis] of axes.entries())
    letters[fileAxis] = (flips[axis] ? "LPI" : "RAS")[axis] ?? "";
  return letters.join("");
}

/** (x, y, z) in the file of the voxel at a position in memory. */
export function voxelInFile(index: number, { shape, grid }: Pick<Volume, "shape" | "grid">): Vec3 {
  const { axes, flips } = grid?.orientation ?? AS_STORED;
  const memory = [
    index % shape[0],
    Math.floor(index / shape[0]) % shape[1],
    Math.floor(index / (shape[0] * shape[1])),
  ];
  const along = (axis: number): number =>
    flips[axis] ? (shape[axis] ?? 1) - 1 - (memory[axis] ?? 0) : (memory[axis] ?? 0);
  return toFileOrder([along(0), along(1), along(2)], { axes, flips });
}

/** Where the voxels of a file lie in memory: at a base plus steps along the file's axes. */
export class Placement {
  /** Extents and steps of the file's axes, densest first, voxels. */
  readonly #shape: Vec3;
  readonly #steps: Vec3;
  readonly #base: number;

  /** @param shape extents of the file's axes, voxels */
  constructor(shape: Vec3, { axes, flips }: Orientation, fastest: "x" | "z" = "x") {
    const steps: [number, number, number] = [0, 0, 0];
    let base = 0;
    let stride = 1;
    for (const [axis, fileAxis] of axes.entries()) {
      const extent = shape[fileAxis] ?? 1;
      steps[fileAxis] = flips[axis] ? -stride : stride;
      if (flips[axis]) base += (extent - 1) * stride;
      stride *= extent;
    }
    this.#base = base;
    this.#steps = fastest === "x" ? steps : [steps[2], steps[1], steps[0]];
    this.#shape = fastest === "x" ? shape : [shape[2], shape[1], shape[0]];
  }

  /** Puts `count` voxels that follow position `start` of the file to their places in memory. */
  scatter(values: Float64Array, count: number, start: number, memory: VoxelArray): void {
    this.#runs(start, count, (done, length, from, step) => {
      for (let i = 0, at = from; i < length; i++, at += step) memory[at] = values[done + i] ?? 0;
    });
  }

  /** Collects the voxels that follow position `start` of the file; as many as `out` holds. */
  gather(memory: VoxelArray, start: number, out: VoxelArray): void {
    this.#runs(start, out.length, (done, length, from, step) => {
      for (let i = 0, at = from; i < length; i++, at += step) out[done + i] = memory[at] ?? 0;
    });
  }

  /** Cuts a stretch of the file into rows along its fastest axis. */
  #runs(
    start: number,
    count: number,
    run: (done: number, length: number, from: number, step: number) => void,
  ): void {
    const [nx, ny] = this.#shape;
    const [sx, sy, sz] = this.#steps;
    let done = 0;
    while (done < count) {
      const x = (start + done) % nx;
      const row = Math.floor((start + done) / nx);
      const length = Math.min(nx - x, count - done);
      run(done, length, this.#base + x * sx + (row % ny) * sy + Math.floor(row / ny) * sz, sx);
      done += length;
    }
  }
}

/** Length of each step of an affine: the distance of voxel centres along its axes. */
export function stepLengths(affine: Affine): Vec3 {
  return [length(column(affine, 0)), length(column(affine, 1)), length(column(affine, 2))];
}

/** An affine from its steps along the three axes and its origin. */
export function fromColumns(columns: readonly Vec3[]): Affine {
  const row = (r: 0 | 1 | 2) =>
    [columns[0]?.[r] ?? 0, columns[1]?.[r] ?? 0, columns[2]?.[r] ?? 0, columns[3]?.[r] ?? 0] as const;
  return [row(0), row(1), row(2), LAST_ROW];
}

/** Column of an affine: the step along an axis; 3: the origin. */
export function column(affine: Affine, index: number): Vec3 {
  return [affine[0]?.[index] ?? 0, affine[1]?.[index] ?? 0, affine[2]?.[index] ?? 0];
}
