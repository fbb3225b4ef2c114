import type { Rgb } from "../data/segments.js";

/** Hues that stay apart on gray images, also for most colour-blind readers. */
const labelColors: readonly Rgb[] = [
  [232, 72, 60],
  [58, 150, 255],
  [250, 190, 50],
  [70, 200, 120],
  [205, 105, 235],
  [70, 215, 225],
  [255, 140, 185],
  [180, 130, 80],
];

/** Number of colours for curves, `--s0` to `--s7` in the report's style. */
export const seriesColorCount = 8;

/** Colour of a label id from 1 on; ids above eight repeat the hues. */
export function labelColor(label: number): Rgb {
  const count = labelColors.length;
  return labelColors[(((label - 1) % count) + count) % count] ?? [255, 255, 255];
}

/** A colour as CSS. */
export function cssColor([red, green, blue]: Rgb): string {
  return `rgb(${red}, ${green}, ${blue})`;
}
