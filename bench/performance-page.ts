import { readFileSync } from "node:fs";
import { type BenchLine, benchLineSchema } from "./result.js";
import { rooflinePicture } from "./roofline.js";
import { benchTable, newestLines } from "./table.js";

/** A table stands between `<!-- bench NAME -->` and `<!-- end -->`. */
const block = /<!-- bench ([a-z0-9-]+) -->\n[\s\S]*?<!-- end -->/g;

/**
 * Fills the tables of docs/performance.md from the result lines, so that the page cannot say what was not measured.
 *
 * @param page the page with its old tables
 * @param results folder with one NAME.jsonl per bench
 * @throws Error when a table names a bench without results or a line is none of ours
 */
export function withTables(page: string, results: URL): string {
  return page.replace(block, (_, name: string) => {
    const lines = newestLines(readLines(name, results));
    return `<!-- bench ${name} -->\n${benchTable(lines)}\n\n${machines(lines)}\n<!-- end -->`;
  });
}

/**
 * The roofline of docs/performance.md: the layers of a V-Net step as last measured.
 *
 * @param results folder with vnet-layers.jsonl
 */
export function layersPicture(results: URL): string {
  return rooflinePicture(newestLines(readLines("vnet-layers", results)));
}

function readLines(bench: string, results: URL): BenchLine[] {
  const text = readFileSync(new URL(`${bench}.jsonl`, results), "utf8");
  return text
    .trim()
    .split("\n")
    .map((json) => benchLineSchema.parse(JSON.parse(json)));
}

function machines(lines: readonly BenchLine[]): string {
  const commits = new Map<string, Set<string>>();
  for (const { impl, cpu, threads, simd, compiler, commit } of lines) {
    if (!impl.startsWith("sfr")) continue;
    const machine = `${cpu}, ${threads} threads, level ${simd}, ${compiler}`;
    const change = commit?.endsWith("-dirty") ? " with changes" : "";
    commits.set(machine, (commits.get(machine) ?? new Set()).add(`${commit?.slice(0, 7)}${change}`));
  }
  const each = [...commits].map(([machine, some]) => {
    const word = some.size === 1 ? "commit" : "commits";
    return `${machine}, ${word} ${[...some].join(", ")}`;
  });
  return `Measured on: ${each.join("; ")}.`;
}
