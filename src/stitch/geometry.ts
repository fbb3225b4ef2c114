import { SfrError, UsageError } from "../errors.js";

/**
 * How the slices of a patch become canvases. Tiles of the slices' own size: `native`, as many as fit (the authors' code),
 * and `square`, ceil(sqrt(D)) a side (the paper's text). `scale`: a given number of tiles a side, slices resized to them
 * but for a border of 4 pixels. One slice a canvas: `upsample`, resized to all of it, and `small-size`, of its own size.
 */
export type StitchRule = "native" | "square" | "scale" | "upsample" | "small-size";

/** What a geometry is made from. */
export interface StitchRequest {
  /** Extents of the volume patch in voxels, (x, y, z) order: the paper's (H, W, D). */
  readonly patch: readonly [number, number, number];
  /** Side S of the square canvas in pixels. */
  readonly canvas: number;
  /** Default `native`. */
  readonly rule?: StitchRule;
  /** Tiles a side with the rule `scale`. */
  readonly scale?: number;
}

/**
 * Where each voxel of a patch lies on its canvases; integers only.
 *
 * Slice z (rows y, columns x) sits at tile t = z + frontSlices, on canvas floor(t / (rows * cols)), in tile row
 * r = floor((t mod (rows * cols)) / cols) and tile column c = t mod cols; its pixel (y, x) lies at canvas row
 * originY + r * tileHeight + y and column originX + c * tileWidth + x. Pixels that no slice covers are gaps:
 * 0 in images, 254 in labels. With the rules `scale` and `upsample` these are slices that were resized.
 */
export interface StitchGeometry {
  /** Side of the canvas in pixels. */
  readonly canvas: number;
  /** Canvases that one patch needs: more than 1 when it has more slices than tiles fit. */
  readonly canvases: number;
  /** Slices of the patch (z), and their rows (y) and columns (x) on the canvas in pixels. */
  readonly slices: number;
  readonly sliceHeight: number;
  readonly sliceWidth: number;
  /** Tiles down and across one canvas. */
  readonly rows: number;
  readonly cols: number;
  /** Padding of a slice on either side, in pixels: rows (the paper's code: pw) and columns (ph). */
  readonly padY: number;
  readonly padX: number;
  /** A padded slice, in pixels. */
  readonly tileHeight: number;
  readonly tileWidth: number;
  /** Border before the grid of tiles in pixels; negative: so many pixels are cropped off on each side (mw, mh). */
  readonly marginY: number;
  readonly marginX: number;
  /** Canvas row and column of pixel (0, 0) of the slice at tile 0: margin + padding. */
  readonly originY: number;
  readonly originX: number;
  /** Empty tiles before the first slice (ps). */
  readonly frontSlices: number;
}

/** Pixels around a slice with the rule `scale`. */
const scaleBorder = 4;

interface AxisLayout {
  readonly tiles: number;
  readonly pad: number;
  readonly tile: number;
  readonly margin: number;
}

/**
 * The stitching geometry of method.md, stage 1 (the authors' Spread_bs_aug and Spread_bs_tensor), with two
 * deviations: padding is rounded down on an axis where rounding to the nearest would crop into a slice or leave
 * an odd overhang, and a patch with more slices than tiles goes on several canvases.
 * Throws UsageError when an extent is no integer >= 1 or when the slices do not fit the canvas.
 */
export function stitchGeometry(request: StitchRequest): StitchGeometry {
  checkExtents(request);
  const { canvas, rule = "native" } = request;
  const slices = request.patch[2];
  const [sliceWidth, sliceHeight] = sliceOnCanvas(request);
  const y = layOutAxis(sliceHeight, canvas, tilesAlong(sliceHeight, request));
  const x = layOutAxis(sliceWidth, canvas, tilesAlong(sliceWidth, request));
  const tiles = y.tiles * x.tiles;
  const geometry: StitchGeometry = {
    canvas,
    canvases: Math.ceil(slices / tiles),
    slices,
    sliceHeight,
    sliceWidth,
    rows: y.tiles,
    cols: x.tiles,
    padY: y.pad,
    padX: x.pad,
    tileHeight: y.tile,
    tileWidth: x.tile,
    marginY: y.margin,
    marginX: x.margin,
    originY: y.margin + y.pad,
    originX: x.margin + x.pad,
    // The paper's grid is empty only after the last slice.
    frontSlices: rule === "square" ? 0 : Math.max(Math.floor((tiles - slices) / 2), 0),
  };
  checkGeometry(geometry);
  return geometry;
}

function checkExtents({ patch, canvas, rule }: StitchRequest): void {
  const [sliceWidth, sliceHeight, slices] = patch;
  for (const [name, extent] of [
    ["canvas", canvas],
    ["patch x", sliceWidth],
    ["patch y", sliceHeight],
    ["patch z", slices],
  ] as const) {
    if (!Number.isSafeInteger(extent) || extent < 1) {
      throw new UsageError(
        `stitch: expected an integer >= 1 for ${name}, received ${extent}; set whole voxels`,
      );
    }
  }
  if (rule !== "scale" && rule !== "upsample" && (sliceHeight > canvas || sliceWidth > canvas)) {
    throw new UsageError(
      `stitch: expected a slice of at most ${canvas} x ${canvas} pixels for patch, received ` +
        `${sliceWidth} x ${sliceHeight} (x, y); choose a smaller patch or a larger canvas`,
    );
  }
}

/** Columns and rows of a slice as it lies on the canvas. */
function sliceOnCanvas({ patch, canvas, rule, scale }: StitchRequest): readonly [number, number] {
  if (rule === "upsample") return [canvas, canvas];
  if (rule !== "scale") return [patch[0], patch[1]];
  const side = Math.floor(canvas / (scale ?? 1)) - 2 * scaleBorder;
  if (side >= 1) return [side, side];
  throw new UsageError(
    `stitch: expected tiles of more than ${2 * scaleBorder} pixels for scale, received ${scale} a side of ${canvas}; ` +
      "choose a smaller scale or a larger canvas",
  );
}

/** Tiles along an axis on which a slice has `size` pixels. */
function tilesAlong(size: number, { patch, canvas, rule, scale }: StitchRequest): number {
  if (rule === "scale") return scale ?? 1;
  if (rule === "upsample" || rule === "small-size") return 1;
  const fitting = Math.floor(canvas / size);
  if (rule !== "square") return fitting;
  const side = Math.ceil(Math.sqrt(patch[2]));
  if (side <= fitting) return side;
  throw new UsageError(
    `stitch: expected at most ${canvas} pixels for the ${side} tiles a side that ${patch[2]} slices take, received ` +
      `${side} x ${size}; choose the rule native, a smaller patch or a larger canvas`,
  );
}

/**
 * Throws SfrError("internal") when a slice of the geometry would lie partly outside its canvas, so that a gap's
 * 255 would come back as a label. Holds for every geometry that `stitchGeometry` makes.
 */
export function checkGeometry(geometry: StitchGeometry): void {
  const { canvas, rows, cols, originY, originX, tileHeight, tileWidth, sliceHeight, sliceWidth } = geometry;
  const lastY = originY + (rows - 1) * tileHeight + sliceHeight;
  const lastX = originX + (cols - 1) * tileWidth + sliceWidth;
  if (originY < 0 || originX < 0 || lastY > canvas || lastX > canvas) {
    throw new SfrError(
      "internal",
      `stitch: expected tiles within 0..${canvas} for geometry, received rows ${originY}..${lastY} and columns ` +
        `${originX}..${lastX}; choose another patch or canvas size`,
    );
  }
}

/** One axis alone; the authors test the sign of one axis's margin for both. */
function layOutAxis(size: number, canvas: number, tiles: number): AxisLayout {
  const free = canvas - tiles * size;
  const nearest = divideHalfEven(free, 2 * tiles);
  const overhang = tiles * (size + 2 * nearest) - canvas;
  const crops = overhang > 0;
  // An odd overhang cannot be cropped alike on both sides; a crop beyond the padding would cut slices.
  const unsound = crops && (overhang % 2 === 1 || overhang / 2 > nearest);
  const pad = unsound ? Math.floor(free / (2 * tiles)) : nearest;
  const tile = size + 2 * pad;
  return { tiles, pad, tile, margin: Math.floor((canvas - tiles * tile) / 2) };
}

/** Python's round(n / d) in integers: halves go to the even neighbour. n >= 0, d > 0. */
function divideHalfEven(n: number, d: number): number {
  const down = Math.floor(n / d);
  const twiceRest = 2 * (n - down * d);
  return twiceRest > d || (twiceRest === d && down % 2 === 1) ? down + 1 : down;
}
