import { ShapeError } from "../errors.js";
import type { Picture } from "../io/png.js";
import { labelColor } from "./colors.js";

/** A volume with label maps on its grid, all [z][y][x] with x fastest. */
export interface OverlaySource {
  readonly image: ArrayLike<number>;
  /** Voxels along x, y, z. */
  readonly size: readonly [x: number, y: number, z: number];
  readonly reference?: ArrayLike<number>;
  readonly prediction?: ArrayLike<number>;
  /** Slice along z; default: the middle of the reference's (else the prediction's) foreground. */
  readonly slice?: number;
}

/** Share of a label's colour in its area; its contour has the full colour. */
const fillOpacity = 0.35;
/** Small slices are enlarged by a whole factor until a panel is about this wide, in pixels. */
const panelWidth = 256;
const gapPixels = 4;

/**
 * Draws one slice across z as panels side by side: the image, then with the reference and with the prediction on it
 * (those that are given). Rows are y from the top, columns x, as in a stitched canvas.
 *
 * @throws ShapeError when an array does not have x*y*z elements or the slice lies outside
 */
export function renderOverlay(source: OverlaySource): Picture {
  const [width, height, depth] = source.size;
  const labelMaps = [source.reference, source.prediction].filter((labels) => labels !== undefined);
  for (const volume of [source.image, ...labelMaps]) {
    if (volume.length !== width * height * depth) {
      throw new ShapeError(
        `renderOverlay: expected ${width} x ${height} x ${depth} voxels for each volume, received ${volume.length}; ` +
          "bring label maps to the image's grid first",
      );
    }
  }
  const slice = source.slice ?? middleSlice(labelMaps, source.size);
  if (!Number.isInteger(slice) || slice < 0 || slice >= depth) {
    throw new ShapeError(
      `renderOverlay: expected a slice from 0 to ${depth - 1}, received ${slice}; choose another`,
    );
  }
  const cut = (volume: ArrayLike<number>) => {
    const values = new Float64Array(width * height);
    for (let i = 0; i < values.length; i += 1) values[i] = volume[slice * values.length + i] ?? 0;
    return values;
  };
  const factor = Math.max(1, Math.round(panelWidth / width));
  const gray = enlarge(windowToGray(cut(source.image)), width, height, factor);
  const panels = [toRgb(gray)];
  for (const labels of labelMaps) {
    const enlarged = enlarge(cut(labels), width, height, factor);
    panels.push(paintLabels(toRgb(gray), enlarged, width * factor, height * factor));
  }
  return sideBySide(panels, width * factor, height * factor);
}

/**
 * Maps values to gray: the 1st percentile to 0 and the 99th to 255, clipped. NaN becomes 0, and so does everything
 * when the values are all alike.
 */
export function windowToGray(values: ArrayLike<number>): Uint8Array {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(0.01), at(0.99)];
  const scale = high > low ? 255 / (high - low) : 0;
  // Rounds half up, clips, and takes NaN for 0.
  const gray = new Uint8ClampedArray(values.length);
  for (let i = 0; i < gray.length; i += 1) gray[i] = Math.round(((values[i] ?? 0) - low) * scale);
  return new Uint8Array(gray.buffer);
}

/** Copies a gray picture (values 0..255) to three channels. */
export function toRgb(gray: ArrayLike<number>): Uint8Array {
  const pixels = new Uint8Array(gray.length * 3);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = gray[Math.floor(i / 3)] ?? 0;
  return pixels;
}

/**
 * Paints label areas and contours onto an RGB picture, in place; label 0 is background.
 *
 * @param pixels [height][width][3]
 * @param labels [height][width]
 * @param end labels from this one on are left as they are
 * @returns `pixels`
 */
export function paintLabels(
  pixels: Uint8Array,
  labels: ArrayLike<number>,
  width: number,
  height: number,
  end = Number.POSITIVE_INFINITY,
): Uint8Array {
  const at = (x: number, y: number) =>
    x < 0 || y < 0 || x >= width || y >= height ? 0 : labels[y * width + x];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const label = labels[y * width + x] ?? 0;
      if (label === 0 || label >= end) {
        continue;
      }
      const isContour =
        at(x - 1, y) !== label || at(x + 1, y) !== label || at(x, y - 1) !== label || at(x, y + 1) !== label;
      const opacity = isContour ? 1 : fillOpacity;
      const color = labelColor(label);
      for (let channel = 0; channel < 3; channel += 1) {
        const index = (y * width + x) * 3 + channel;
        pixels[index] = Math.round((pixels[index] ?? 0) * (1 - opacity) + (color[channel] ?? 0) * opacity);
      }
    }
  }
  return pixels;
}

/** Repeats each pixel `factor` times along both axes. */
function enlarge(source: ArrayLike<number>, width: number, height: number, factor: number): Uint16Array {
  const target = new Uint16Array(width * height * factor * factor);
  for (let y = 0; y < height * factor; y += 1) {
    for (let x = 0; x < width * factor; x += 1) {
      const from = Math.floor(y / factor) * width + Math.floor(x / factor);
      target[y * width * factor + x] = source[from] ?? 0;
    }
  }
  return target;
}

/** Middle of the slices that hold foreground in the first map that has any; else the volume's middle. */
function middleSlice(labelMaps: readonly ArrayLike<number>[], size: OverlaySource["size"]): number {
  const area = size[0] * size[1];
  for (const labels of labelMaps) {
    const slices = Array.from({ length: size[2] }, (_, z) => z).filter((z) => {
      for (let i = z * area; i < (z + 1) * area; i += 1) {
        if (labels[i] !== 0) {
          return true;
        }
      }
      return false;
    });
    if (slices.length > 0) {
      return slices[Math.floor(slices.length / 2)] ?? 0;
    }
  }
  return Math.floor(size[2] / 2);
}

function sideBySide(panels: readonly Uint8Array[], width: number, height: number): Picture {
  const total = panels.length * width + (panels.length - 1) * gapPixels;
  const pixels = new Uint8Array(total * height * 3).fill(128);
  for (const [i, panel] of panels.entries()) {
    for (let y = 0; y < height; y += 1) {
      const row = panel.subarray(y * width * 3, (y + 1) * width * 3);
      pixels.set(row, (y * total + i * (width + gapPixels)) * 3);
    }
  }
  return { pixels, width: total, height, channels: 3 };
}
