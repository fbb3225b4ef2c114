import type { BenchLine } from "./result.js";
import { limitingResource } from "./roofline.js";

/** Whether a line is ours. */
const isOurs = ({ impl }: BenchLine): boolean => impl === "sfr" || impl.startsWith("sfr-");

/** Whether a line is a part of a run. */
const isPart = ({ share_of_run }: BenchLine): boolean => share_of_run !== null;

/** Lines of one bench as a Markdown table: of a profile where they hold parts of a run, else with the peers. */
export function benchTable(lines: readonly BenchLine[]): string {
  return lines.some(isPart) ? profileTable(lines) : peerTable(lines);
}

/**
 * The lines that count: of each case and implementation the last one, in the order of the first lines. Of a profile
 * those of the last session, as another version may have other parts.
 */
export function newestLines(lines: readonly BenchLine[]): BenchLine[] {
  if (lines.some(isPart)) return lines.slice(lines.findLastIndex((line) => !isPart(line)));
  const newest = new Map<string, BenchLine>();
  for (const line of lines) newest.set(`${line.case} ${line.impl}`, line);
  return [...newest.values()];
}

/**
 * One block per case. `vs peer` is the median time divided by that of the fastest peer of the case: below 1 is faster
 * than every peer.
 */
function peerTable(lines: readonly BenchLine[]): string {
  const header = ["GFLOP/s", "of sgemm", "memory", "vs peer", "error"];
  const rows = lines.map((line) => {
    const fastest = fastestPeer(lines, line);
    return [
      ...[line.case, line.impl, duration(line.median_s)],
      `${duration(line.min_s)} .. ${duration(line.max_s)}`,
      ...[whole(line.gflops), percent(line.share_of_sgemm), `${(line.peak_rss_bytes / 1e9).toFixed(2)} GB`],
      or(fastest, (value) => `${(line.median_s / value).toFixed(2)}x`),
      or(line.max_error_vs_peer, (value) => (value === 0 ? "0" : value.toExponential(0))),
    ];
  });
  return markdownTable(["case", "implementation", "median", "min .. max", ...header], rows);
}

/** The run first, then its parts, the longest first; those below a thousandth of the run in one row. */
function profileTable(lines: readonly BenchLine[]): string {
  const header = ["nodes", "median", "of run", "GFLOP/s", "of sgemm", "GB", "GB/s", "of memory", "limit"];
  const run = lines.find((line) => !isPart(line));
  const isLong = ({ share_of_run }: BenchLine) => (share_of_run ?? 1) >= 0.001;
  const rows = lines
    .filter(isLong)
    .map((line) => [
      isPart(line) ? line.case.slice((run?.case.length ?? 0) + 1) : `whole run, ${line.case}`,
      line.kernel ?? "",
      ...[or(line.nodes, String), duration(line.median_s)],
      or(line.share_of_run ?? 1, (value) => `${(100 * value).toFixed(1)} %`),
      ...[whole(line.gflops), percent(line.share_of_sgemm)],
      or(line.bytes, (value) => (value / 1e9).toFixed(3)),
      ...[or(line.gb_per_s, (value) => value.toFixed(1)), percent(line.share_of_bandwidth)],
      isPart(line) ? limitingResource(line) : "",
    ]);
  const short = lines.filter((line) => !isLong(line));
  if (short.length > 0) {
    const total = (of: (line: BenchLine) => number | null) =>
      short.reduce((sum, line) => sum + (of(line) ?? 0), 0);
    rows.push([
      ...["all others", "", String(total(({ nodes }) => nodes)), duration(total(({ median_s }) => median_s))],
      `${(100 * total(({ share_of_run }) => share_of_run)).toFixed(1)} %`,
      ...["-", "-", (total(({ bytes }) => bytes) / 1e9).toFixed(3), "-", "-", ""],
    ]);
  }
  return markdownTable(["part", "kernel", ...header], rows);
}

/** Columns after the second are aligned to the right. */
function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, i) =>
    Math.max(name.length, ...rows.map((cells) => cells[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i < 2 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}

function fastestPeer(lines: readonly BenchLine[], line: BenchLine): number | null {
  const peers = lines.filter(
    (other) => other.bench === line.bench && other.case === line.case && !isOurs(other),
  );
  return peers.length === 0 ? null : Math.min(...peers.map(({ median_s }) => median_s));
}

function or<T>(value: T | null, text: (value: T) => string): string {
  return value === null ? "-" : text(value);
}

const whole = (value: number | null): string => or(value, (speed) => speed.toFixed(0));
const percent = (value: number | null): string => or(value, (share) => `${(100 * share).toFixed(0)} %`);

function duration(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return `${(1000 * seconds).toFixed(seconds >= 0.1 ? 0 : 2)} ms`;
}
