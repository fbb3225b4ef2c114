import { z } from "zod";
import { type PreprocessSettings, preprocessSettings } from "../config/schema.js";
import { DataError, UsageError } from "../errors.js";
import { type Box, type CaseGeometry, wholeGeometry } from "./case-geometry.js";
import type { Grid } from "./grid-match.js";
import type { ImageVolume, Vec3 } from "./volume.js";

const positive = z.number().positive();

/**
 * What is done to every volume before a network sees it, in this order: axes to RAS+, crop, window, resampling, z-score
 * over what is left. Stored with the trained weights, so that new volumes are treated alike.
 */
export const planSchema = z.strictObject({
  /** Which way x, y and z run in memory. */
  orientation: z.literal("RAS").default("RAS"),
  ...preprocessSettings.omit({ spacing: true }).shape,
  /** mm; null: as stored. */
  spacing: z.tuple([positive, positive, positive]).nullable().default(null),
  /** Half resolution by 2x2x2 blocks; results then stay on it. */
  halve: z.boolean().default(false),
});

export type PreprocessingPlan = z.infer<typeof planSchema>;

/** Volumes as they are. */
export const plainPlan: PreprocessingPlan = planSchema.parse({});

/**
 * The plan of a training.
 *
 * @param grids of the training cases, of which the median spacing is taken
 * @throws UsageError when the settings do not go together; DataError when the median is asked for and no case has a spacing
 */
export function makePlan(
  settings: PreprocessSettings,
  halve: boolean,
  grids: readonly Grid[],
): PreprocessingPlan {
  const { cropAbove, spacing, window, minimumSlices } = settings;
  if (window !== null && window[0] >= window[1]) {
    throw new UsageError(
      `preprocess.window: expected a lower and a higher number, received ${window.join(", ")}; exchange them`,
    );
  }
  if (halve && (cropAbove !== null || spacing !== null || minimumSlices !== null)) {
    throw new UsageError(
      "data.halve: expected false beside a crop, spacing or number of slices in preprocess, received true; " +
        "set a spacing twice as wide instead",
    );
  }
  return planSchema.parse({
    ...settings,
    halve,
    spacing: spacing === "median" ? medianSpacing(grids) : spacing,
  });
}

/** Median along each axis, the mean of the middle two of an even number; to 5 digits, as people write spacings. */
function medianSpacing(grids: readonly Grid[]): Vec3 {
  const spacings = grids.flatMap(({ spacing }) => (spacing === null ? [] : [spacing]));
  if (spacings.length === 0) {
    throw new DataError(
      "preprocess.spacing: expected training cases with a spacing for the median, received none; leave it out",
    );
  }
  const along = (axis: 0 | 1 | 2): number => {
    const sorted = spacings.map((spacing) => spacing[axis]).sort((a, b) => a - b);
    const at = (index: number) => sorted[index] ?? 0;
    const middle = (sorted.length - 1) / 2;
    return Number(((at(Math.floor(middle)) + at(Math.ceil(middle))) / 2).toPrecision(5));
  };
  return [along(0), along(1), along(2)];
}

/**
 * How a plan treats an image.
 *
 * @param name of the case, for messages
 * @throws DataError when nothing is above the intensity to crop at, or a spacing is asked for and the image has none
 */
export function planGeometry(plan: PreprocessingPlan, image: ImageVolume, name: string): CaseGeometry {
  return geometryOf(plan, image, boxAbove(plan, image, name), name);
}

/** As planGeometry without the crop, which needs the voxels: what is seen has at most these extents. */
export function largestGeometry(plan: PreprocessingPlan, grid: Grid, name: string): CaseGeometry {
  return geometryOf(plan, grid, wholeGeometry(grid).crop, name);
}

/** @param crop the whole, for half resolution */
function geometryOf(
  { spacing, minimumSlices, halve }: PreprocessingPlan,
  grid: Grid,
  crop: Box,
  name: string,
): CaseGeometry {
  const whole = wholeGeometry(grid);
  if (halve) {
    const half: Vec3 = [crop.shape[0] >> 1, crop.shape[1] >> 1, crop.shape[2] >> 1];
    const even: Vec3 = [2 * half[0], 2 * half[1], 2 * half[2]];
    return { ...whole, crop: { begin: crop.begin, shape: even }, shape: half, restores: false };
  }
  const own = grid.spacing;
  if (spacing !== null && own === null) {
    throw new DataError(
      `case '${name}': expected a voxel size to resample from, received a file without one; ` +
        "convert it to NIfTI with its spacing, or leave preprocess.spacing out",
    );
  }
  const along = (axis: 0 | 1 | 2): number =>
    spacing === null || own === null
      ? crop.shape[axis]
      : Math.max(1, Math.round((crop.shape[axis] * own[axis]) / spacing[axis]));
  const shape: Vec3 = [along(0), along(1), Math.max(along(2), minimumSlices ?? 1)];
  return { ...whole, crop, shape };
}

/** The box around the voxels above the plan's intensity, widened by its margin. */
function boxAbove(
  { cropAbove, cropMargin }: PreprocessingPlan,
  { shape, data, spacing }: ImageVolume,
  name: string,
): Box {
  if (cropAbove === null) return { begin: [0, 0, 0], shape };
  const [width, height, depth] = shape;
  const low: [number, number, number] = [width, height, depth];
  const high: [number, number, number] = [0, 0, 0];
  for (let z = 0, start = 0; z < depth; z++) {
    for (let y = 0; y < height; y++, start += width) {
      let from = 0;
      while (from < width && !((data[start + from] ?? 0) > cropAbove)) from++;
      if (from === width) continue;
      let to = width;
      while (!((data[start + to - 1] ?? 0) > cropAbove)) to--;
      for (const [axis, first, end] of [
        [0, from, to] as const,
        [1, y, y + 1] as const,
        [2, z, z + 1] as const,
      ]) {
        low[axis] = Math.min(low[axis], first);
        high[axis] = Math.max(high[axis], end);
      }
    }
  }
  if (high[0] === 0) {
    throw new DataError(
      `case '${name}': expected voxels above ${cropAbove} to crop to (preprocess.cropAbove), received none; ` +
        "look at its intensities, or leave it out",
    );
  }
  const margin = (axis: 0 | 1 | 2): number => Math.ceil(cropMargin / (spacing?.[axis] ?? 1));
  const begin = (axis: 0 | 1 | 2): number => Math.max(0, low[axis] - margin(axis));
  const extent = (axis: 0 | 1 | 2): number => Math.min(shape[axis], high[axis] + margin(axis)) - begin(axis);
  return { begin: [begin(0), begin(1), begin(2)], shape: [extent(0), extent(1), extent(2)] };
}
