import { seriesColorCount } from "./colors.js";
import { escapeHtml } from "./html.js";
import { linearAxis, tickText } from "./svg-chart.js";

/** A value of a line of the chart. */
export interface Dot {
  /** Index into the names of the chart. */
  readonly series: number;
  readonly value: number;
  /** Half the length of its whisker; null draws none. */
  readonly spread: number | null;
  /** Drawn as a ring: somebody else's figure. */
  readonly isHollow?: boolean;
}

/** A chart of values in named lines, one below the other. */
export interface DotChartSpec {
  readonly title: string;
  readonly xLabel: string;
  /** Names of the colours. */
  readonly series: readonly string[];
  readonly lines: readonly { readonly name: string; readonly dots: readonly Dot[] }[];
}

const size = { width: 560, left: 170, right: 16, top: 6, bottom: 38, line: 22 };

/** The chart with its title and legend, as an HTML figure. Colours are those of `lineChart`. */
export function dotFigure(spec: DotChartSpec): string {
  const legend = spec.series
    .map((name, i) => `<span class="key"><i style="background:${color(i)}"></i>${escapeHtml(name)}</span>`)
    .join("");
  return (
    `<figure class="chart"><figcaption><b>${escapeHtml(spec.title)}</b><span class="legend">${legend}</span>` +
    `</figcaption>${dotChart(spec)}</figure>`
  );
}

function dotChart({ title, xLabel, lines }: DotChartSpec): string {
  const bottom = size.top + size.line * lines.length;
  const right = size.width - size.right;
  const ends = lines.flatMap(({ dots }) =>
    dots.flatMap(({ value, spread }) => [value - (spread ?? 0), value + (spread ?? 0)]),
  );
  const x = linearAxis(ends, [size.left, right]);
  const parts: string[] = [];
  for (const tick of x.ticks) {
    const at = round(x.place(tick));
    parts.push(`<path d="M${at} ${size.top}V${bottom}" class="grid"/>`);
    parts.push(
      `<text x="${at}" y="${bottom + 16}" text-anchor="middle" class="tick">${tickText(tick)}</text>`,
    );
  }
  for (const [index, { name, dots }] of lines.entries()) {
    const middle = size.top + size.line * (index + 0.5);
    parts.push(
      `<text x="${size.left - 8}" y="${middle + 4}" text-anchor="end" class="label">${escapeHtml(name)}</text>`,
    );
    for (const [place, dot] of dots.entries()) {
      // Side by side, so that equal values do not hide one another.
      const y = round(middle + (place - (dots.length - 1) / 2) * Math.min(5, (size.line - 8) / dots.length));
      parts.push(drawDot(dot, y, x.place));
    }
  }
  parts.push(`<path d="M${size.left} ${bottom}H${right}" class="axis"/>`);
  const below = `x="${(size.left + right) / 2}" y="${bottom + size.bottom - 5}"`;
  parts.push(`<text ${below} text-anchor="middle" class="label">${escapeHtml(xLabel)}</text>`);
  const label = escapeHtml(title);
  return `<svg viewBox="0 0 ${size.width} ${bottom + size.bottom}" role="img" aria-label="${label}">${parts.join("")}</svg>`;
}

function drawDot(
  { series, value, spread, isHollow }: Dot,
  y: number,
  place: (value: number) => number,
): string {
  const at = round(place(value));
  const whisker =
    spread === null
      ? ""
      : `<path d="M${round(place(value - spread))} ${y}H${round(place(value + spread))}" style="stroke:${color(series)}" class="curve"/>`;
  const fill = isHollow ? "fill:none" : `fill:${color(series)}`;
  return `${whisker}<circle cx="${at}" cy="${y}" r="3.5" style="${fill};stroke:${color(series)}"/>`;
}

function color(index: number): string {
  return `var(--s${index % seriesColorCount})`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
