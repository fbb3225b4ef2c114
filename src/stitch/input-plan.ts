import { type StitchGeometry, type StitchRule, stitchGeometry } from "./geometry.js";

/** Extents along x, y, z. */
type Voxels = readonly [number, number, number];

/** How SAM sees crops, as the settings say it. */
export interface InputForm {
  readonly input: StitchRule;
  /** Tiles a side with the rule `scale`. */
  readonly scale: number;
  /** Side S of the square canvas in pixels. */
  readonly canvas: number;
}

/** How SAM sees the crops of one patch size. */
export interface InputPlan {
  /**
   * What goes through SAM at once, voxels (x, y, z): the whole crop, or as many of its slices as lie on one canvas where
   * slices are enlarged (`scale` and `upsample`).
   */
  readonly part: Voxels;
  /** Where the slices of a part lie on its canvases. */
  readonly geometry: StitchGeometry;
}

/** The plan for crops of `patch` voxels. Throws UsageError when they do not fit the canvas. */
export function inputPlan(patch: Voxels, { input, scale, canvas }: InputForm): InputPlan {
  const tiles = {
    native: patch[2],
    square: patch[2],
    scale: scale ** 2,
    upsample: 1,
    "small-size": patch[2],
  };
  const part: Voxels = [patch[0], patch[1], Math.min(patch[2], tiles[input])];
  return { part, geometry: stitchGeometry({ patch: part, canvas, rule: input, scale }) };
}

/** First slices of the parts of a crop of `depth` slices; the last part ends where the crop ends. */
export function partStarts(depth: number, { part }: InputPlan): number[] {
  return Array.from({ length: Math.ceil(depth / part[2]) }, (_, i) => Math.min(i * part[2], depth - part[2]));
}
