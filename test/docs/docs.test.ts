import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { exitCodeMeanings } from "../../src/cli/command.js";
import { commands } from "../../src/cli/commands/index.js";
import { flagsOf, parseCommandLine } from "../../src/cli/parse.js";
import { resolveConfig } from "../../src/config/load.js";
import { summarize } from "../../src/metrics/summary.js";
import { planArms } from "../../src/run/plan.js";
import { readGrid } from "../../src/sweep/grid.js";
import { planJobs } from "../../src/sweep/jobs.js";
import { classScores } from "../metrics/class-scores.js";
import { type CodeBlock, type Page, readMarkdown, shellCommands } from "./markdown.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const demoConfig = join(root, "configs", "demo.yaml");
const scratch = mkdtempSync(join(tmpdir(), "sfr-docs-"));
after(() => rmSync(scratch, { recursive: true }));

const names = [
  ...["README.md", "CONTRIBUTING.md", "CHANGELOG.md"],
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => join("docs", file))
    .sort(),
];
const pages = new Map(names.map((name) => [name, readMarkdown(readFileSync(join(root, name), "utf8"))]));

/** Every item of every page with the place to name when it is wrong. */
function* everywhere<T extends { readonly line: number }>(
  part: (page: Page) => readonly T[],
): Iterable<readonly [where: string, item: T, page: string]> {
  for (const [name, page] of pages) for (const item of part(page)) yield [`${name}:${item.line}`, item, name];
}

const blocksOf =
  (language: string) =>
  ({ blocks }: Page): CodeBlock[] =>
    blocks.filter((block) => block.language === language);

describe("documentation", () => {
  it("has links that lead somewhere", () => {
    const broken: string[] = [];
    for (const [where, { text }, name] of everywhere(({ links }) => links)) {
      if (/^[a-z]+:/.test(text)) continue;
      const [path = "", anchor] = text.split("#");
      const target = path === "" ? name : relative(root, resolve(root, dirname(name), path));
      const isThere = !target.startsWith("..") && existsSync(join(root, target));
      const hasAnchor = anchor === undefined || (pages.get(target)?.anchors.has(anchor) ?? false);
      if (!isThere || !hasAnchor) broken.push(`${where}: ${text}`);
    }
    assert.deepEqual(broken, []);
  });

  it("has every page in the index", () => {
    const index = pages.get(join("docs", "README.md"));
    const linked = new Set(index?.links.map(({ text }) => join("docs", text.replace(/#.*/, ""))));
    const lost = names.filter((name) => name.startsWith("docs") && name !== join("docs", "README.md"));
    assert.deepEqual(
      lost.filter((name) => !linked.has(name)),
      [],
    );
  });

  it("has command lines that parse, with values in their ranges", async () => {
    let count = 0;
    for (const [where, block, name] of everywhere(blocksOf("sh"))) {
      for (const { line, words } of shellCommands(block)) {
        const place = `${where} (line ${line} of ${name}): ${words.join(" ")}`;
        const own = words[0] === "npx" ? words.slice(1) : words;
        if (own[0] !== "sfr") {
          if (words[0] === "npx") assert.fail(`${place}: another program`);
          continue;
        }
        count += 1;
        const parsed = parseCommandLine(commands, own.slice(1));
        await assert.doesNotReject(parsed, place);
        const { args, command } = (await parsed) ?? assert.fail(`${place}: runs nothing`);
        assert.doesNotThrow(() => resolveConfig(demoConfig, args.overrides), place);
        const config = command.positionals.some((item) => item.name === "config") ? args.text("config") : "";
        if (config.startsWith("configs/")) assert.ok(existsSync(join(root, config)), place);
      }
    }
    assert.ok(count > 30, `only ${count} command lines found: is the search still right?`);
  });

  it("names scripts of package.json", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object };
    for (const [where, block] of everywhere(blocksOf("sh"))) {
      for (const { words } of shellCommands(block)) {
        const script = words[0] === "npm" && words[1] === "run" ? words[2] : undefined;
        if (script !== undefined) assert.ok(script in scripts, `${where}: npm run ${script}`);
      }
    }
    for (const [where, { text }] of everywhere(({ spans }) => spans)) {
      const script = /^npm run (\S+)/.exec(text)?.[1];
      if (script !== undefined) assert.ok(script in scripts, `${where}: ${text}`);
    }
  });

  it("names commands and flags that exist", () => {
    const flags = new Set(
      [
        ...commands.flatMap((command) => [
          ...flagsOf(command),
          ...command.settings.map(({ flag }) => ({ name: flag })),
        ]),
        ...[{ name: "help" }, { name: "version" }],
      ].map(({ name }) => name),
    );
    for (const [where, { text }] of everywhere(({ spans }) => spans)) {
      const command = /^(?:npx )?sfr ([a-z-]+)/.exec(text)?.[1];
      if (command !== undefined)
        assert.ok(
          commands.some(({ name }) => name === command),
          `${where}: ${text}`,
        );
      const flag = /^(?:(?:npx )?sfr .*)?--([a-z][a-z-]*)/.exec(text)?.[1];
      if (flag !== undefined) assert.ok(flags.has(flag), `${where}: ${text}`);
    }
  });

  it("has configurations that are valid", () => {
    const demo = parse(readFileSync(demoConfig, "utf8")) as Record<string, unknown>;
    let count = 0;
    for (const [where, { tag, text }] of everywhere(blocksOf("yaml"))) {
      assert.match(
        tag,
        /^(configuration|fragment|grid)$/,
        `${where}: tag YAML as configuration, fragment or grid`,
      );
      count += 1;
      const path = join(scratch, "config.yaml");
      if (tag === "grid") {
        writeFileSync(path, text);
        copyFileSync(join(root, "configs", "la.yaml"), join(scratch, "la.yaml"));
        assert.doesNotThrow(() => planJobs(readGrid(path), path, { "data.root": "x" }), where);
        continue;
      }
      writeFileSync(path, tag === "fragment" ? stringify({ ...demo, ...withGroups(demo, text) }) : text);
      assert.doesNotThrow(() => planArms(resolveConfig(path)), where);
    }
    assert.ok(count >= 4, `only ${count} configurations found: is the search still right?`);
  });

  it("names tests that exist", () => {
    const page = readFileSync(join(root, "docs", "explanation", "known-troubles.md"), "utf8");
    const rows = [...page.matchAll(/^\|[^|]*\| `([^`]+)` \| (.+) \|$/gm)];
    const isMissing = ([, file = "", title = ""]: RegExpMatchArray): boolean =>
      !existsSync(join(root, file)) || !readFileSync(join(root, file), "utf8").includes(title);
    assert.deepEqual(
      rows.filter(isMissing).map(([row]) => row),
      [],
    );
    assert.ok(rows.length > 40, `only ${rows.length} tests found: is the search still right?`);
  });

  it("has the exit codes of the program", () => {
    const page = readFileSync(join(root, "docs", "reference", "exit-codes.md"), "utf8");
    const rows = [...page.matchAll(/^\| (\d+) \| ([^|]+) \|/gm)].map(([, code, meaning]) => [
      Number(code),
      meaning,
    ]);
    assert.deepEqual(rows, exitCodeMeanings);
  });

  it("describes every field of a summary", () => {
    const summary = summarize([{ id: "a", unit: "mm", classes: [classScores(1, { Dice: 1 })] }], {
      paper: true,
    });
    const page = readFileSync(join(root, "docs", "reference", "run-folder.md"), "utf8");
    // The first cells of table rows: elsewhere a name is only mentioned.
    const cells = [...page.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell = ""]) => [
      ...cell.matchAll(/`([^`]+)`/g),
    ]);
    const known = new Set(cells.map(([, text]) => text));
    for (const field of [...Object.keys(summary), ...Object.keys(summary.foreground_mean)]) {
      assert.ok(
        known.has(field) || known.has(`${field}[]`),
        `docs/reference/run-folder.md: no word on ${field}`,
      );
    }
    for (const field of Object.keys(summary.metric_per_case[0] ?? {})) {
      const isThere = [`metric_per_case[].${field}`, `.${field}`].some((name) => known.has(name));
      assert.ok(isThere, `docs/reference/run-folder.md: no word on metric_per_case[].${field}`);
    }
  });
});

/** Groups of a fragment with the settings that it leaves out taken from `base`; lists are replaced. */
function withGroups(base: Record<string, unknown>, text: string): Record<string, unknown> {
  const isGroup = (value: unknown): value is object =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  return Object.fromEntries(
    Object.entries(parse(text) as Record<string, unknown>).map(([key, value]) => {
      const before = base[key];
      return [key, isGroup(value) && isGroup(before) ? { ...before, ...value } : value];
    }),
  );
}
