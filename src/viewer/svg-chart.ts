import { seriesColorCount } from "./colors.js";
import { escapeHtml } from "./html.js";

/** One curve; x rises. Points that are not finite leave a gap. */
export interface ChartSeries {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** A line chart. */
export interface ChartSpec {
  readonly title: string;
  /** Axis texts with their units: `step`, `learning rate`. */
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly ChartSeries[];
  /** Logarithmic y axis; values of 0 and below are left out. */
  readonly log?: boolean;
}

/** Mean, smallest and largest value of neighbouring points. */
interface ChartPoint {
  readonly x: number;
  readonly y: number;
  readonly low: number;
  readonly high: number;
}

interface Axis {
  readonly ticks: readonly number[];
  /** Position of a value, in user units of the SVG. */
  readonly place: (value: number) => number;
}

const size = { width: 480, height: 240, left: 70, right: 12, top: 8, bottom: 38 };
/** More points than this are gathered to means with a band from the smallest to the largest value. */
const maxPoints = 240;

/**
 * Draws a line chart as SVG. Colours are the variables `--s0` to `--s7`, `--grid` and `--muted` of the page.
 */
export function lineChart(spec: ChartSpec): string {
  const isShown = (y: number) => Number.isFinite(y) && (!spec.log || y > 0);
  const curves = spec.series.map((series) => gatherPoints(series, isShown));
  const shown = curves.flat().filter((point) => isShown(point.y));
  const x = stepAxis(
    spec.series.flatMap((series) => series.x),
    [size.left, size.width - size.right],
  );
  const yRange: [number, number] = [size.height - size.bottom, size.top];
  const yValues = shown.flatMap((point) => [point.low, point.high]);
  const y = spec.log ? logAxis(yValues, yRange) : linearAxis(yValues, yRange);
  const parts = [...drawAxes(spec, x, y)];
  for (const [i, points] of curves.entries()) {
    parts.push(...drawCurve(points, i, x, y, isShown));
  }
  if (shown.length === 0) {
    const middle = `x="${size.width / 2}" y="${size.height / 2}"`;
    parts.push(`<text ${middle} text-anchor="middle" class="tick">no values</text>`);
  }
  const label = escapeHtml(`${spec.title}: ${spec.series.map((series) => series.name).join(", ")}`);
  return `<svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${label}">${parts.join("")}</svg>`;
}

/** The chart with its title and legend, as an HTML figure. */
export function chartFigure(spec: ChartSpec): string {
  const legend = spec.series
    .map(
      (series, i) =>
        `<span class="key"><i style="background:var(--s${i % seriesColorCount})"></i>${escapeHtml(series.name)}</span>`,
    )
    .join("");
  return (
    `<figure class="chart"><figcaption><b>${escapeHtml(spec.title)}</b><span class="legend">${legend}</span>` +
    `</figcaption>${lineChart(spec)}</figure>`
  );
}

function gatherPoints(series: ChartSeries, isShown: (y: number) => boolean): ChartPoint[] {
  const count = Math.min(series.x.length, series.y.length);
  const perPoint = Math.max(1, Math.ceil(count / maxPoints));
  const points: ChartPoint[] = [];
  for (let start = 0; start < count; start += perPoint) {
    const end = Math.min(count, start + perPoint);
    const values = series.y.slice(start, end).filter(isShown);
    points.push({
      x: ((series.x[start] ?? 0) + (series.x[end - 1] ?? 0)) / 2,
      y: values.reduce((sum, value) => sum + value, 0) / values.length,
      low: Math.min(...values),
      high: Math.max(...values),
    });
  }
  return points;
}

function drawCurve(
  points: readonly ChartPoint[],
  index: number,
  x: Axis,
  y: Axis,
  isShown: (y: number) => boolean,
): string[] {
  const color = `var(--s${index % seriesColorCount})`;
  const dash = index >= seriesColorCount ? ";stroke-dasharray:5 3" : "";
  const parts: string[] = [];
  for (const run of splitAtGaps(points, isShown)) {
    const at = (point: ChartPoint, value: number) => `${round(x.place(point.x))} ${round(y.place(value))}`;
    if (run.some((point) => point.high > point.low)) {
      const there = run.map((point) => at(point, point.high));
      const back = run.map((point) => at(point, point.low)).reverse();
      parts.push(`<path d="M${[...there, ...back].join("L")}Z" style="fill:${color}" class="band"/>`);
    }
    const line = run.map((point) => at(point, point.y));
    // A single point has no length; a round cap on a line of length zero makes it a dot.
    const path = line.length === 1 ? `M${line[0]}h0` : `M${line.join("L")}`;
    parts.push(`<path d="${path}" style="stroke:${color}${dash}" class="curve"/>`);
  }
  return parts;
}

function splitAtGaps(points: readonly ChartPoint[], isShown: (y: number) => boolean): ChartPoint[][] {
  const runs: ChartPoint[][] = [[]];
  for (const point of points) {
    if (isShown(point.y)) {
      runs.at(-1)?.push(point);
    } else {
      runs.push([]);
    }
  }
  return runs.filter((run) => run.length > 0);
}

function drawAxes(spec: ChartSpec, x: Axis, y: Axis): string[] {
  const bottom = size.height - size.bottom;
  const right = size.width - size.right;
  const parts: string[] = [];
  for (const tick of y.ticks) {
    const at = round(y.place(tick));
    parts.push(`<path d="M${size.left} ${at}H${right}" class="grid"/>`);
    parts.push(
      `<text x="${size.left - 6}" y="${at + 4}" text-anchor="end" class="tick">${tickText(tick)}</text>`,
    );
  }
  for (const tick of x.ticks) {
    const at = round(x.place(tick));
    parts.push(`<path d="M${at} ${bottom}v4" class="axis"/>`);
    parts.push(
      `<text x="${at}" y="${bottom + 16}" text-anchor="middle" class="tick">${tickText(tick)}</text>`,
    );
  }
  parts.push(`<path d="M${size.left} ${bottom}H${right}" class="axis"/>`);
  const middle = (size.left + right) / 2;
  parts.push(
    `<text x="${middle}" y="${size.height - 5}" text-anchor="middle" class="label">${escapeHtml(spec.xLabel)}</text>`,
  );
  const yText = escapeHtml(spec.log ? `${spec.yLabel} (log)` : spec.yLabel);
  const half = (size.top + bottom) / 2;
  parts.push(
    `<text transform="translate(14 ${half}) rotate(-90)" text-anchor="middle" class="label">${yText}</text>`,
  );
  return parts;
}

/** An axis with round ticks that enclose all values, placed over `range` (user units of the SVG). */
export function linearAxis(values: readonly number[], range: readonly [number, number]): Axis {
  let [low, high] = extent(values);
  if (low === high) {
    const margin = Math.abs(low) / 2 || 1;
    [low, high] = [low - margin, high + margin];
  }
  const step = niceStep((high - low) / 5);
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  const [from, to] = [first * step, last * step];
  return { ticks, place: (value) => range[0] + ((value - from) / (to - from)) * (range[1] - range[0]) };
}

/** From 0 (when the values begin near it) to the largest value, which need not be a tick. */
function stepAxis(values: readonly number[], range: readonly [number, number]): Axis {
  const [low, high] = extent(values);
  const from = low >= 0 && low < 0.1 * high ? 0 : low;
  const to = high > from ? high : from + 1;
  const step = niceStep((to - from) / 6);
  const first = Math.ceil(from / step - 1e-9);
  const ticks = Array.from(
    { length: Math.floor(to / step + 1e-9) - first + 1 },
    (_, i) => (first + i) * step,
  );
  return { ticks, place: (value) => range[0] + ((value - from) / (to - from)) * (range[1] - range[0]) };
}

function logAxis(values: readonly number[], range: readonly [number, number]): Axis {
  const [low, high] = extent(values.filter((value) => value > 0).map(Math.log10));
  const candidates: number[] = [];
  const isWide = high - low > 2;
  const every = Math.max(1, Math.ceil((high - low) / 6));
  for (let decade = Math.floor(low); decade <= Math.ceil(high); decade += isWide ? every : 1) {
    candidates.push(...(isWide ? [1] : [1, 2, 5]).map((digit) => digit * 10 ** decade));
  }
  const [from, to] = high - low > 1e-9 ? [low, high] : [low - 0.5, high + 0.5];
  const ticks = candidates.filter((tick) => Math.log10(tick) >= from - 1e-9 && Math.log10(tick) <= to + 1e-9);
  return {
    ticks,
    place: (value) => range[0] + ((Math.log10(value) - from) / (to - from)) * (range[1] - range[0]),
  };
}

function extent(values: readonly number[]): [number, number] {
  return values.length === 0
    ? [0, 1]
    : values.reduce<[number, number]>(
        ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
        [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      );
}

/** Smallest of 1, 2, 5 times a power of ten that is not below `step`. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  return ([1, 2, 5].find((digit) => digit * power >= step * (1 - 1e-9)) ?? 10) * power;
}

/** A tick in few characters. */
export function tickText(value: number): string {
  const rounded = Number(value.toPrecision(6));
  const isPlain = rounded === 0 || (Math.abs(rounded) >= 1e-3 && Math.abs(rounded) < 1e5);
  return isPlain ? String(rounded) : rounded.toExponential().replace("e+", "e").replace("e-", "e−");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
