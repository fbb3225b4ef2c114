/** What holds each part of a run back, in words and as a picture. */
import { escapeHtml } from "../src/viewer/html.js";
import type { BenchLine } from "./result.js";

/** Of the products that GFLOP/s count, Winograd's F(4x4, 3x3) does one in this many: 36 instead of 144. */
const winogradSaving = 4;
/** A part below this share of both limits waits for something else: latency, transforms, exponentials. */
const nearLimit = 1 / 3;

const usesWinograd = ({ kernel }: BenchLine): boolean => kernel === "winograd";

/** The resource that a run or a part of it comes closer to using up: that of the larger share. */
export function limitingResource(line: BenchLine): "compute" | "memory" | "neither" {
  const compute = (line.share_of_sgemm ?? 0) / (usesWinograd(line) ? winogradSaving : 1);
  const memory = line.share_of_bandwidth ?? 0;
  if (Math.max(compute, memory) < nearLimit) return "neither";
  return compute >= memory ? "compute" : "memory";
}

interface Point {
  /** Layer shape without the direction. */
  readonly layer: string;
  readonly direction: string;
  readonly winograd: boolean;
  /** FLOP per byte and GFLOP/s. */
  readonly x: number;
  readonly y: number;
  readonly share: number;
}

const size = { width: 900, height: 620, left: 64, right: 24, bottom: 92 };
const ink = { text: "#1c2b3a", muted: "#5b6b7b", grid: "#e3ebf3", roof: "#33475b" };
const directions: Readonly<Record<string, string>> = {
  forward: "#1f6fb4",
  "input gradient": "#d1660f",
  "weight gradient": "#1a8f6a",
};
const labelHeight = 14;
const labelWidth = 6.1; // of a character at 11 pixels

/**
 * Draws the convolutions and matrix products of a profile under the machine's roofs: arithmetic per byte to the right,
 * speed upwards, both logarithmic; the area of a mark is its share of the run's time.
 *
 * @param lines one session of a bench with a profile by layers: the run, then its parts
 * @throws Error when the lines hold no run that was related to sgemm and bandwidth
 */
export function rooflinePicture(lines: readonly BenchLine[]): string {
  const [run] = lines;
  if (!run?.gflops || !run.share_of_sgemm || !run.gb_per_s || !run.share_of_bandwidth)
    throw new Error("roofline: expected a run with FLOPs and bytes as the first line");
  const sgemm = run.gflops / run.share_of_sgemm;
  const bandwidth = run.gb_per_s / run.share_of_bandwidth;
  const points = lines.flatMap((line) => pointOf(line, run.case));
  const x = logScale(valuesOf(points, "x"), [size.left, size.width - size.right]);
  const labels = placeLabels(points, x);
  const top = 76 + labelHeight * (1 + Math.max(0, ...labels.map(({ row }) => row)));
  const y = logScale(valuesOf(points, "y", winogradSaving * sgemm), [size.height - size.bottom, top]);
  const title = `Speed of the layers of a V-Net training step, ${run.case}`;
  const facts = `${run.cpu}, ${run.threads} threads, level ${run.simd}: sgemm ${sgemm.toFixed(0)} GFLOP/s, memory ${bandwidth.toFixed(1)} GB/s`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" role="img" aria-labelledby="title" font-family="Helvetica, Arial, sans-serif" font-size="11">`,
    `  <title id="title">${escapeHtml(title)}</title>`,
    `  <rect width="${size.width}" height="${size.height}" rx="10" fill="#ffffff"/>`,
    text(size.left, 28, title, { "font-size": 16, "font-weight": "bold", fill: ink.text }),
    text(size.left, 46, facts, { "font-size": 12, fill: ink.muted }),
    ...drawAxes(x, y, top),
    ...drawRoofs(x, y, { sgemm, bandwidth, top }),
    ...drawLabels(labels, y),
    ...points.map((point) => drawPoint(point, x, y)),
    ...drawLegend(),
    "</svg>\n",
  ].join("\n");
}

function pointOf(line: BenchLine, run: string): Point[] {
  const [, layer, direction] = /^(.*), (forward|input gradient|weight gradient)$/.exec(line.case) ?? [];
  if (layer === undefined || direction === undefined || !line.gflops || !line.gb_per_s) return [];
  return [
    {
      layer: layer.slice(run.length + 1).replace(" at ", ", "),
      direction,
      winograd: usesWinograd(line),
      x: line.gflops / line.gb_per_s,
      y: line.gflops,
      share: line.share_of_run ?? 0,
    },
  ];
}

/** A logarithmic axis. */
interface Scale {
  /** 1, 2 and 5 of each decade, as far as they are on the axis. */
  readonly ticks: readonly number[];
  /** Smallest value. */
  readonly from: number;
  place(value: number): number;
}

function logScale(values: readonly number[], [start, end]: readonly [number, number]): Scale {
  const from = Math.log10(Math.min(...values));
  const to = Math.log10(Math.max(...values));
  const ticks: number[] = [];
  for (let decade = Math.floor(from); decade <= to; decade++)
    ticks.push(...[1, 2, 5].map((digit) => digit * 10 ** decade));
  const isInside = (value: number) => Math.log10(value) >= from && Math.log10(value) <= to;
  return {
    ticks: ticks.filter(isInside),
    from: 10 ** from,
    place: (value) => start + ((Math.log10(value) - from) / (to - from)) * (end - start),
  };
}

/** The smallest and the largest value of an axis, with some room beyond. */
function valuesOf(points: readonly Point[], axis: "x" | "y", ...more: number[]): number[] {
  const values = [...points.map((point) => point[axis]), ...more];
  return [Math.min(...values) / 1.5, Math.max(...values) * 1.5];
}

interface Label {
  readonly name: string;
  /** Position of the layer, and of the text beside it. */
  readonly at: number;
  readonly left: number;
  /** Rows are counted from the plot upwards. */
  readonly row: number;
  /** Speed of its fastest direction. */
  readonly fastest: number;
  readonly top: number;
}

/** Gives each layer's name the lowest row above the plot where it does not touch another. */
function placeLabels(points: readonly Point[], x: Scale): Label[] {
  const byLayer = new Map<string, Point>();
  for (const point of points) {
    const known = byLayer.get(point.layer);
    if (known === undefined || point.y > known.y) byLayer.set(point.layer, point);
  }
  const ends: number[] = [];
  const placed = [...byLayer.values()]
    .sort((a, b) => a.x - b.x)
    .map((point) => {
      const width = labelWidth * point.layer.length;
      const at = x.place(point.x);
      const left = Math.min(at + 3, size.width - size.right - width);
      const free = ends.findIndex((end) => end + 8 < left);
      const row = free < 0 ? ends.length : free;
      ends[row] = left + width;
      return { name: point.layer, at, left, row, fastest: point.y };
    });
  return placed.map((label) => ({ ...label, top: 66 + labelHeight * (ends.length - label.row) }));
}

/** Dotted lines from the names down to the marks, then the names, which stay legible above the lines of others. */
function drawLabels(labels: readonly Label[], y: Scale): string[] {
  const halo = { stroke: "#ffffff", "stroke-width": 4, "paint-order": "stroke" };
  return [
    ...labels.map(
      ({ at, top, fastest }) =>
        `  <path d="M${round(at)} ${top - 9}V${round(y.place(fastest))}" stroke="${ink.muted}" stroke-width="0.6" stroke-dasharray="2 2" fill="none"/>`,
    ),
    ...labels.map(({ name, left, top }) => text(left, top, name, { fill: ink.text, ...halo })),
  ];
}

function drawAxes(x: Scale, y: Scale, top: number): string[] {
  const [right, bottom] = [size.width - size.right, size.height - size.bottom];
  const muted = { fill: ink.muted };
  const half = (top + bottom) / 2;
  return [
    ...x.ticks.map(
      (tick) => `  <path d="M${round(x.place(tick))} ${top}V${bottom}" stroke="${ink.grid}" fill="none"/>`,
    ),
    ...y.ticks.map(
      (tick) =>
        `  <path d="M${size.left} ${round(y.place(tick))}H${right}" stroke="${ink.grid}" fill="none"/>`,
    ),
    `  <path d="M${size.left} ${top}V${bottom}H${right}" stroke="${ink.roof}" fill="none"/>`,
    ...x.ticks.map((tick) =>
      text(x.place(tick), bottom + 16, String(tick), { ...muted, "text-anchor": "middle" }),
    ),
    ...y.ticks.map((tick) =>
      text(size.left - 6, y.place(tick) + 4, String(tick), { ...muted, "text-anchor": "end" }),
    ),
    text((size.left + right) / 2, bottom + 34, "arithmetic per byte, FLOP/byte", {
      ...{ fill: ink.text, "font-size": 12, "text-anchor": "middle" },
    }),
    text(0, 0, "GFLOP/s of the direct algorithm", {
      ...{ fill: ink.text, "font-size": 12, "text-anchor": "middle" },
      transform: `translate(18 ${round(half)}) rotate(-90)`,
    }),
  ];
}

/** The slope of the memory's bandwidth up to the products' peak, and the peak with Winograd's saving. */
function drawRoofs(
  x: Scale,
  y: Scale,
  { sgemm, bandwidth, top }: { sgemm: number; bandwidth: number; top: number },
): string[] {
  const right = size.width - size.right;
  const foot = Math.max(x.from, y.from / bandwidth);
  const at = (flopPerByte: number, speed: number) =>
    `${round(x.place(flopPerByte))} ${round(y.place(speed))}`;
  const roof = (peak: number, dash: string) =>
    `  <path d="M${at(foot, Math.min(peak, foot * bandwidth))}L${at(Math.max(foot, peak / bandwidth), peak)}H${right}" stroke="${ink.roof}" stroke-width="1.6" fill="none"${dash}/>`;
  const name = (peak: number, words: string) =>
    text(right - 4, y.place(peak) - 5, words, { fill: ink.roof, "text-anchor": "end" });
  const peak = winogradSaving * sgemm;
  return [
    `  <clipPath id="plot"><rect x="${size.left}" y="${top}" width="${right - size.left}" height="${size.height - size.bottom - top}"/></clipPath>`,
    `  <g clip-path="url(#plot)">`,
    roof(peak, ' stroke-dasharray="6 4"'),
    roof(sgemm, ""),
    "  </g>",
    name(sgemm, "sgemm"),
    name(peak, "sgemm with a quarter of the products (Winograd)"),
  ];
}

function drawPoint(point: Point, x: Scale, y: Scale): string {
  const radius = 3 + 28 * Math.sqrt(point.share);
  // The directions of a layer have the same arithmetic per byte: side by side all can be seen.
  const aside = 5 * (Object.keys(directions).indexOf(point.direction) - 1);
  const [cx, cy] = [x.place(point.x) + aside, y.place(point.y)];
  const color = directions[point.direction] ?? ink.text;
  const style = `fill="${color}" fill-opacity="0.55" stroke="${color}"`;
  const name = `<title>${escapeHtml(`${point.layer}, ${point.direction}: ${point.y.toFixed(0)} GFLOP/s`)}</title>`;
  if (point.winograd)
    return `  <circle cx="${round(cx)}" cy="${round(cy)}" r="${round(radius)}" ${style}>${name}</circle>`;
  const side = radius * Math.sqrt(Math.PI); // the area of the circle
  return `  <rect x="${round(cx - side / 2)}" y="${round(cy - side / 2)}" width="${round(side)}" height="${round(side)}" ${style}>${name}</rect>`;
}

function drawLegend(): string[] {
  const row = size.height - 24;
  const parts: string[] = [];
  let left = size.left;
  const entry = (mark: (x: number) => string, words: string) => {
    parts.push(mark(left + 6), text(left + 17, row + 4, words, { fill: ink.text }));
    left += 34 + labelWidth * words.length;
  };
  for (const [direction, color] of Object.entries(directions))
    entry((x) => `  <circle cx="${x}" cy="${row}" r="6" fill="${color}"/>`, direction);
  const outline = `fill="none" stroke="${ink.text}" stroke-width="1.5"`;
  entry((x) => `  <circle cx="${x}" cy="${row}" r="6" ${outline}/>`, "Winograd");
  entry(
    (x) => `  <rect x="${x - 5}" y="${row - 5}" width="10" height="10" ${outline}/>`,
    "direct or matrix product",
  );
  parts.push(text(left, row + 4, "area: share of the step's time", { fill: ink.muted }));
  return parts;
}

function text(x: number, y: number, words: string, style: Readonly<Record<string, string | number>>): string {
  const attributes = Object.entries(style).map(([name, value]) => ` ${name}="${value}"`);
  return `  <text x="${round(x)}" y="${round(y)}"${attributes.join("")}>${escapeHtml(words)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
