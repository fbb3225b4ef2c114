import { readFileSync } from "node:fs";
import { type BenchLine, benchLineSchema } from "./result.js";
import { benchTable } from "./table.js";

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
    const lines = newestLines(readFileSync(new URL(`${name}.jsonl`, results), "utf8"));
    return `<!-- bench ${name} -->\n${benchTable(lines)}\n\n${machines(lines)}\n<!-- end -->`;
  });
}

/** The last line of each case and implementation, cases and implementations in the order of their first line. */
function newestLines(text: string): BenchLine[] {
  const newest = new Map<string, BenchLine>();
  for (const json of text.trim().split("\n")) {
    const line = benchLineSchema.parse(JSON.parse(json));
    newest.set(`${line.case} ${line.impl}`, line);
  }
  return [...newest.values()];
}

function machines(lines: readonly BenchLine[]): string {
  const each = lines
    .filter(({ impl }) => impl.startsWith("sfr"))
    .map(
      ({ cpu, threads, simd, compiler, commit }) =>
        `${cpu}, ${threads} threads, level ${simd}, ${compiler}, commit ${commit?.slice(0, 7)}${commit?.endsWith("-dirty") ? " with changes" : ""}`,
    );
  return `Measured on: ${[...new Set(each)].join("; ")}.`;
}
