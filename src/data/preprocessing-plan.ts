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
  ...preprocessSettings.omit({ spacing: true, locator: true }).shape,
  /** The segmenter whose findings are cropped to, by the SHA-256 of its weights file. */
  locator: z.strictObject({ sha256: z.string() }).optional(),
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
 * @param locator SHA-256 of the weights that settings.locator names
 * @throws UsageError when the settings do not go together; DataError when the median is asked for and no case has a spacing
 */
export function makePlan(
  settings: PreprocessSettings,
  halve: boolean,
  grids: readonly Grid[],
  locator?: string,
): PreprocessingPlan {
  const { locator: path, ...others } = settings;
  const { cropAbove, spacing, window, minimumSlices } = others;
  if (window !== null && window[0] >= window[1]) {
    throw new UsageError(
      `preprocess.window: expected a lower and a higher number, received ${window.join(", ")}; exchange them`,
    );
  }
  if (path !== null && cropAbove !== null) {
    throw new UsageError(
      `preprocess.locator: expected one rule to crop by, received ${path} beside cropAbove: ${cropAbove}; leave one out`,
    );
  }
  if (halve && (cropAbove !== null || path !== null || spacing !== null || minimumSlices !== null)) {
    throw new UsageError(
      "data.halve: expected false beside a crop, spacing or number of slices in preprocess, received true; " +
        "set a spacing twice as wide instead",
    );
  }
  return planSchema.parse({
    ...others,
    ...(locator !== undefined && { locator: { sha256: locator } }),
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
 * @param found where the plan's locator sees something, in voxels of the image; undefined: nowhere, which crops nothing
 * @throws DataError when nothing is above the intensity to crop at, or a spacing is asked for and the image has none
 */
export function planGeometry(
  plan: PreprocessingPlan,
  image: ImageVolume,
  name: string,
  found: Box = wholeGeometry(image).crop,
): CaseGeometry {
  const box = plan.locator === undefined ? brightBox(plan, image, name) : found;
  return geometryOf(plan, image, widened(box, plan.cropMargin, image), name);
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

/** Where the plan's intensity crops to; the whole when it has none. */
function brightBox({ cropAbove }: PreprocessingPlan, image: ImageVolume, name: string): Box {
  if (cropAbove === null) return wholeGeometry(image).crop;
  const box = boxAbove(image.data, image.shape, cropAbove);
  if (box !== undefined) return box;
  throw new DataError(
    `case '${name}': expected voxels above ${cropAbove} to crop to (preprocess.cropAbove), received none; ` +
      "look at its intensities, or leave it out",
  );
}

/** The box around the values [z][y][x] that are larger than one; undefined when none is. */
export function boxAbove(
  data: Float32Array | Uint8Array,
  [width, height, depth]: Vec3,
  above: number,
): Box | undefined {
  const low: [number, number, number] = [width, height, depth];
  const high: [number, number, number] = [0, 0, 0];
  for (let z = 0, start = 0; z < depth; z++) {
    for (let y = 0; y < height; y++, start += width) {
      let from = 0;
      while (from < width && !((data[start + from] ?? 0) > above)) from++;
      if (from === width) continue;
      let to = width;
      while (!((data[start + to - 1] ?? 0) > above)) to--;
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
  if (high[0] === 0) return undefined;
  return { begin: low, shape: [high[0] - low[0], high[1] - low[1], high[2] - low[2]] };
}

/** A box with a margin on every side, mm (voxels where the spacing is not known), as far as the volume goes. */
function widened(box: Box, margin: number, { shape, spacing }: Grid): Box {
  const along = (axis: 0 | 1 | 2): readonly [number, number] => {
    const voxels = Math.ceil(margin / (spacing?.[axis] ?? 1));
    const begin = Math.max(0, box.begin[axis] - voxels);
    return [begin, Math.min(shape[axis], box.begin[axis] + box.shape[axis] + voxels) - begin];
  };
  const [x, y, z] = [along(0), along(1), along(2)];
  return { begin: [x[0], y[0], z[0]], shape: [x[1], y[1], z[1]] };
}
