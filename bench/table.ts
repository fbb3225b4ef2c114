import type { BenchLine } from "./result.js";

/** Whether a line is ours. */
const isOurs = ({ impl }: BenchLine): boolean => impl === "sfr" || impl.startsWith("sfr-");

/**
 * Lines as a Markdown table, one block per case. `vs peer` is the median time divided by that of the fastest peer of the
 * case: below 1 is faster than every peer.
 */
export function benchTable(lines: readonly BenchLine[]): string {
  const header = [
    "case",
    "implementation",
    "median",
    "min .. max",
    "GFLOP/s",
    "of sgemm",
    "memory",
    "vs peer",
    "error",
  ];
  const rows = lines.map((line) => row(line, fastestPeer(lines, line)));
  const widths = header.map((name, i) =>
    Math.max(name.length, ...rows.map((cells) => cells[i]?.length ?? 0)),
  );
  const text = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i < 2 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [text(header), rule, ...rows.map(text)].join("\n");
}

function fastestPeer(lines: readonly BenchLine[], line: BenchLine): number | null {
  const peers = lines.filter(
    (other) => other.bench === line.bench && other.case === line.case && !isOurs(other),
  );
  return peers.length === 0 ? null : Math.min(...peers.map(({ median_s }) => median_s));
}

function row(line: BenchLine, fastest: number | null): string[] {
  const or = (value: number | null, text: (value: number) => string) => (value === null ? "-" : text(value));
  return [
    line.case,
    line.impl,
    duration(line.median_s),
    `${duration(line.min_s)} .. ${duration(line.max_s)}`,
    or(line.gflops, (value) => value.toFixed(0)),
    or(line.share_of_sgemm, (value) => `${(100 * value).toFixed(0)} %`),
    `${(line.peak_rss_bytes / 1e9).toFixed(2)} GB`,
    or(fastest, (value) => `${(line.median_s / value).toFixed(2)}x`),
    or(line.max_error_vs_peer, (value) => (value === 0 ? "0" : value.toExponential(0))),
  ];
}

function duration(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return `${(1000 * seconds).toFixed(seconds >= 0.1 ? 0 : 2)} ms`;
}
