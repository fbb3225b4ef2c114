import { gapClass } from "../data/label-table.js";
import { ShapeError } from "../errors.js";
import type { Picture } from "../io/png.js";
import { paintLabels, toRgb, windowToGray } from "./overlay.js";

/** A stitched canvas: slices of a volume as tiles of one picture. */
export interface CanvasSource {
  /** Intensities, [height][width]. */
  readonly image: ArrayLike<number>;
  /** Labels or pseudo-labels, [height][width]; from gapClass on (no slice here, or ignored) they are dark blue. */
  readonly labels?: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
}

/** Colour of canvas pixels that no slice covers. */
const ignoredColor = [44, 52, 70] as const;

/**
 * Draws a stitched canvas, with its labels if there are any, and pixels that no slice covers in dark blue.
 *
 * @param maxSize the picture is reduced by a whole factor until neither side is longer, in pixels
 * @throws ShapeError when an array does not have height * width elements
 */
export function renderCanvas(source: CanvasSource, maxSize = 768): Picture {
  const { width, height } = source;
  for (const values of [source.image, source.labels ?? source.image]) {
    if (values.length !== width * height) {
      throw new ShapeError(
        `renderCanvas: expected ${height} x ${width} values, received ${values.length}; pass one canvas, one channel`,
      );
    }
  }
  const factor = Math.max(1, Math.ceil(Math.max(width, height) / maxSize));
  const small = { width: Math.floor(width / factor), height: Math.floor(height / factor) };
  const pixels = toRgb(windowToGray(meanOfBlocks(source.image, width, small, factor)));
  if (source.labels === undefined) {
    return { pixels, ...small, channels: 3 };
  }
  const labels = new Uint16Array(small.width * small.height);
  for (let i = 0; i < labels.length; i += 1) {
    const [x, y] = [i % small.width, Math.floor(i / small.width)];
    labels[i] = source.labels[y * factor * width + x * factor] ?? 0;
    if ((labels[i] ?? 0) >= gapClass) {
      pixels.set(ignoredColor, i * 3);
    }
  }
  return {
    pixels: paintLabels(pixels, labels, small.width, small.height, gapClass),
    ...small,
    channels: 3,
  };
}

function meanOfBlocks(
  image: ArrayLike<number>,
  width: number,
  small: { readonly width: number; readonly height: number },
  factor: number,
): Float64Array {
  const result = new Float64Array(small.width * small.height);
  for (let i = 0; i < result.length; i += 1) {
    const start = Math.floor(i / small.width) * factor * width + (i % small.width) * factor;
    let sum = 0;
    for (let dy = 0; dy < factor; dy += 1) {
      for (let dx = 0; dx < factor; dx += 1) {
        sum += image[start + dy * width + dx] ?? 0;
      }
    }
    result[i] = sum / (factor * factor);
  }
  return result;
}
