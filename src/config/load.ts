import { readFileSync } from "node:fs";
import { isMap, isNode, isPair, LineCounter, type Node, parseDocument } from "yaml";
import { UsageError } from "../errors.js";
import { nearestName } from "./nearest-name.js";
import { type Config, configSchema } from "./schema.js";
import { armSettingList, type Setting, settings } from "./settings.js";
import { smallCanvas } from "./small-canvas.js";

/** Values by setting path (`finetune.steps`), as flags give them: the text of the command line or parsed. */
export type Overrides = Readonly<Record<string, unknown>>;

type Path = readonly PropertyKey[];

/** A configuration before it was checked, with the way back to the places its values came from. */
interface Source {
  readonly values: unknown;
  /** `file:line`, or the flag, for a path; the nearest one that exists. */
  where(path: Path): string;
}

/** What went wrong, as zod reports it; only what the messages use. */
interface Issue {
  readonly code?: string;
  readonly path: Path;
  readonly message: string;
  readonly keys?: readonly string[];
}

/**
 * Reads a configuration file (YAML), lays the overrides over it and fills in defaults.
 *
 * @throws UsageError naming file and line, or the flag: no such file, no YAML, an unknown key (with the nearest one), a
 *   value of another type or outside its range, a missing key
 */
export function resolveConfig(path: string, overrides: Overrides = {}): Config {
  const source = withOverrides(readSource(path), overrides);
  const result = configSchema.safeParse(source.values);
  if (result.success) return withSmallCanvas(result.data);
  const issues: readonly Issue[] = result.error.issues;
  // A misspelt key is why its right spelling is missing.
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
  throw new UsageError(
    issue === undefined ? `${path}: ${result.error.message}` : describeIssue(issue, source),
  );
}

/** One slice at its own size needs the canvas that just holds it. */
function withSmallCanvas(config: Config): Config {
  if (config.sam.input !== "small-size") return config;
  return { ...config, sam: { ...config.sam, canvas: smallCanvas(config.patch) } };
}

/** Turns the text of a flag into the value of its setting; text that does not fit stays text and is refused later. */
export function parseFlag(setting: Setting, text: unknown): unknown {
  if (typeof text !== "string") return text;
  if (setting.nullable && text === "null") return null;
  const isNumber = (part: string) => part.trim() !== "" && Number.isFinite(Number(part));
  switch (setting.kind) {
    case "integer":
    case "number":
      return isNumber(text) ? Number(text) : text;
    case "tuple": {
      const parts = text.split(/[,x]/);
      return parts.every(isNumber) ? parts.map(Number) : text;
    }
    case "choices":
      return text.split(",");
    case "map": {
      const pairs = text.split(",").map((pair) => pair.split(":"));
      const isPair = ([id = "", to = ""]: string[]) => isNumber(id) && to !== "";
      const value = (to = "") => (isNumber(to) ? Number(to) : to);
      return pairs.every(isPair) ? Object.fromEntries(pairs.map(([id, to]) => [id, value(to)])) : text;
    }
    case "cases":
      if (isNumber(text)) return Number(text);
      return text === "all" && setting.range.includes("all") ? text : text.split(",");
    default:
      return text;
  }
}

function readSource(path: string): Source {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const received = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(
      `${path}: expected a readable configuration file, received ${received}; check the path`,
      {
        cause: error,
      },
    );
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const [message = "", ...rest] = problem.message.split("\n");
    const line = rest.length > 0 || problem.linePos ? `:${problem.linePos?.[0].line ?? 1}` : "";
    throw new UsageError(
      `${path}${line}: expected YAML, received ${message.replace(/:$/, "")}; correct the file`,
    );
  }
  return {
    values: document.toJS() ?? {},
    where: (keys) => {
      const offset = offsetOf(document.contents, keys);
      return offset === undefined ? path : `${path}:${lines.linePos(offset).line}`;
    },
  };
}

/** Where the deepest key of `keys` that exists begins, in characters. */
function offsetOf(node: unknown, keys: Path): number | undefined {
  const [key, ...rest] = keys;
  let found: number | undefined;
  let next: unknown;
  if (isMap(node)) {
    const pair = node.items.find((item) => isPair(item) && String(item.key) === String(key));
    found = isNode(pair?.key) ? startOf(pair.key) : undefined;
    next = pair?.value;
  } else if (isNode(node) && "items" in node && Array.isArray(node.items) && typeof key === "number") {
    next = node.items[key];
    found = isNode(next) ? startOf(next) : undefined;
  }
  return (rest.length > 0 && next !== undefined ? offsetOf(next, rest) : undefined) ?? found;
}

function startOf(node: Node): number | undefined {
  return node.range?.[0];
}

function withOverrides(source: Source, overrides: Overrides): Source {
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  const values: unknown = structuredClone(source.values);
  if (!isRecord(values)) return source;
  const flags = new Map<string, string>();
  for (const [path, value] of given) {
    const setting = settings.find((item) => item.path === path);
    if (setting === undefined) throw new UsageError(`settings: expected a known setting, received '${path}'`);
    const keys = path.split(".");
    const last = keys.pop() ?? path;
    let group: Record<string, unknown> = values;
    for (const key of keys) {
      const inner = group[key] ?? {};
      // A group that is no group is the file's mistake; the check will say so.
      if (!isRecord(inner)) return source;
      group[key] = inner;
      group = inner;
    }
    group[last] = parseFlag(setting, value);
    flags.set(path, `--${setting.flag}`);
  }
  return {
    values,
    where: (keys) => {
      for (let length = keys.length; length > 0; length -= 1) {
        const flag = flags.get(keys.slice(0, length).join("."));
        if (flag !== undefined) return flag;
      }
      return source.where(keys);
    },
  };
}

function describeIssue(issue: Issue, source: Source): string {
  if (issue.code === "unrecognized_keys") return describeUnknownKey(issue, source);
  const setting = settingAt(issue.path);
  // What is wrong inside a value (the second extent of a patch) is told of the whole value.
  const path = setting === undefined || issue.path[0] === "arms" ? issue.path : setting.path.split(".");
  const name = pathName(path);
  const value = valueAt(source.values, path);
  const expected = setting?.range ?? plainExpectation(issue.message);
  const place = source.where(path);
  if (value === undefined) {
    const flag = setting === undefined || path[0] === "arms" ? "" : ` or pass --${setting.flag}`;
    return `${place}: expected ${expected} for ${name}, received nothing; set it in the file${flag}`;
  }
  const nearest = typeof value === "string" ? nearestName(value, setting?.choices ?? []) : null;
  const cure = nearest === null ? "correct the value" : `did you mean '${nearest}'?`;
  return `${place}: expected ${expected} for ${name || "the file"}, received ${shorten(value)}; ${cure}`;
}

/** What zod says of groups and lists, whose settings have no range of their own. */
function plainExpectation(message: string): string {
  return message
    .replace(/^Invalid \w+: expected (\w+).*/, "$1")
    .replace(/^Too small: expected \w+ to have >=(\d+) items$/, "at least $1 entry");
}

/** The setting that a path leads to or into. */
function settingAt(path: Path): Setting | undefined {
  if (path[0] === "arms") return armSettingList.find((item) => item.path === `arms[].${String(path[2])}`);
  return settings.find((item) => item.path === path[0] || item.path === path.slice(0, 2).join("."));
}

function describeUnknownKey(issue: Issue, source: Source): string {
  const [key = ""] = issue.keys ?? [];
  const path = [...issue.path, key];
  const known = knownKeys(issue.path);
  const nearest = nearestName(key, known);
  const group = pathName(issue.path);
  const place = source.where(path);
  const cure = nearest === null ? "remove it" : `did you mean '${nearest}'?`;
  return `${place}: expected one of ${known.join(", ")}${group === "" ? "" : ` in ${group}`}, received the unknown key '${key}'; ${cure}`;
}

/** Keys that the group at this path has. */
function knownKeys(path: Path): string[] {
  if (path.length === 0) return Object.keys(configSchema.shape);
  if (path[0] === "arms") return Object.keys(configSchema.shape.arms.element.shape);
  const group = String(path[0]);
  return settings.filter((item) => item.group === group).map((item) => item.path.slice(group.length + 1));
}

function valueAt(values: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (isTree(value) ? value[key] : undefined), values);
}

/** `arms[1].method`. */
function pathName(path: Path): string {
  return path.reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`,
    "",
  );
}

function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTree(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === "object" && value !== null;
}
