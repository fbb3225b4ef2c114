/** Builders of data preparation, stitching, prediction and metrics. */
import type { Value } from "../graph.js";
import { named, only } from "./outputs.js";

// ---- data preparation; no gradient unless the contract says so

/** (x - mean) / std over the whole tensor. */
export const standardize = (x: Value): Value => only(x.graph.node("standardize", [x]));
/** f32 [D,H,W] -> mean of 2x2x2 blocks; an odd remainder is dropped. */
export const downsampleMean = (x: Value): Value => only(x.graph.node("downsample_mean", [x]));
/** u8 [D,H,W] -> majority of 2x2x2 blocks; ties go to the smaller id. */
export const downsampleMajority = (x: Value): Value => only(x.graph.node("downsample_majority", [x]));
/**
 * Rotation by k*90 degrees in the x-y plane, flip (0 none, 1 of x, 2 of y), zero padding, crop.
 * x [D,H,W], parameters i32 [5] = (x0, y0, z0, k, flip) -> size [d,h,w].
 */
export const cropRotFlip = (x: Value, parameters: Value, size: readonly [number, number, number]): Value =>
  only(x.graph.node("crop_rot_flip", [x, parameters], { size }));
/** Whole canvases [N,S,S] rotated and flipped; parameters i32 [N,2] = (k, flip). */
export const rotFlipCanvas = (x: Value, parameters: Value): Value =>
  only(x.graph.node("rot_flip_canvas", [x, parameters]));
/** Bezier intensity map of slices: x [D,H,W], points f32 [D,4], apply i32 [D]. */
export const intensityMap = (x: Value, points: Value, apply: Value): Value =>
  only(x.graph.node("intensity_map", [x, points, apply]));

/** Numbers of a stitching geometry that the gathers need (src/stitch/geometry.ts). */
export interface StitchNumbers {
  canvas: number;
  canvases: number;
  slices: number;
  sliceHeight: number;
  sliceWidth: number;
  rows: number;
  cols: number;
  tileHeight: number;
  tileWidth: number;
  originY: number;
  originX: number;
  frontSlices: number;
}

/** [N,D,H,W] -> canvases [N*canvases,S,S]; gaps get `fill`. */
export const stitch = (x: Value, geometry: StitchNumbers, fillValue: number): Value =>
  only(x.graph.node("stitch", [x], { ...stitchAttributes(geometry), fill: fillValue }));
/** Canvases [N*canvases,S,S] or [..,K] -> [N,D,H,W] or [..,K]. */
export const unstitch = (canvases: Value, geometry: StitchNumbers): Value =>
  only(canvases.graph.node("unstitch", [canvases], stitchAttributes(geometry)));

function stitchAttributes(g: StitchNumbers): Record<string, number> {
  const { canvas, canvases, slices, sliceHeight, sliceWidth, rows, cols } = g;
  const { tileHeight, tileWidth, originY, originX, frontSlices } = g;
  return {
    canvas,
    canvases,
    slices,
    sliceHeight,
    sliceWidth,
    rows,
    cols,
    tileHeight,
    tileWidth,
    originY,
    originX,
    frontSlices,
  };
}

// ---- prediction and metrics

/**
 * sums [D,H,W,K] += w softmax(logits [d,h,w,K]) and counts [D,H,W] += w at offset i32 [3] = (x, y, z); weights w [d,h,w],
 * default 1.
 *
 * @param mirror axes along which the network has seen the window mirrored: the sum of 1 (x), 2 (y), 4 (z)
 */
export function windowAccumulate(
  sums: Value,
  counts: Value,
  logits: Value,
  offset: Value,
  { weights, mirror = 0 }: { weights?: Value | undefined; mirror?: number } = {},
): void {
  sums.graph.node("window_accumulate", [sums, counts, logits, offset, weights], { mirror });
}
/** sums [D,H,W,K] / counts [D,H,W]. */
export const windowMean = (sums: Value, counts: Value): Value =>
  only(sums.graph.node("window_mean", [sums, counts]));
/** Confusion matrix i32 [K,K] of two u8 label volumes; rows are the reference. */
export const overlapCounts = (prediction: Value, reference: Value, classes: number): Value =>
  only(prediction.graph.node("overlap_counts", [prediction, reference], { classes }));
/**
 * i32 [K-1,8] by class 1..K-1 of u8 [D,H,W]: the box of its voxels, first (z, y, x) and extents, its border voxels (one of
 * six neighbours is outside) and its surface cells (of their eight voxels some are outside). 0 where it has no voxel.
 */
export const classSurfaces = (labels: Value, classes: number): Value =>
  only(labels.graph.node("class_surfaces", [labels], { classes }));
/** A class in two volumes, and the box (z, y, x) that holds all its voxels in both. */
export interface SurfacePair {
  readonly label: number;
  readonly begin: readonly number[];
  readonly extents: readonly number[];
  /** (x, y, z). */
  readonly spacing: readonly number[];
  /** What `classSurfaces` counts: border voxels of a and b, cells of a and b. */
  readonly counts: readonly number[];
}
/**
 * How far the surface elements of a class are from those of the other volume, f32 in the order they lie in memory, and
 * what the cells hold: voxel i of the eight in bit i (x fastest), u8.
 */
export const surfaceDistances = (a: Value, b: Value, pair: SurfacePair) =>
  named(a.graph.node("surface_distances", [a, b], { ...pair }), [
    "borderOfA",
    "borderOfB",
    "cellsOfA",
    "cellsOfB",
    "codesOfA",
    "codesOfB",
  ]);
