import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { readCurves } from "./curve-files.js";

/**
 * Files of two run folders that do not say the same. Every file has to have the same bytes, but for
 * - run.json: created, updated, wallSeconds, peakRssBytes,
 * - events.jsonl: eta,
 * - summary.json of the run: wall_seconds,
 * - report.html: durations, the date of the start, the peak of memory,
 * - TensorBoard's folders: names and number of files, times of the points. The curves are compared as TensorBoard shows
 *   them.
 */
export async function differences(first: string, second: string): Promise<string[]> {
  const [one, other] = [await contents(first), await contents(second)];
  const paths = [...new Set([...one.keys(), ...other.keys()])].sort();
  return paths.filter((path) => one.get(path) !== other.get(path)).map((path) => describe(path, one, other));
}

function describe(
  path: string,
  one: ReadonlyMap<string, string>,
  other: ReadonlyMap<string, string>,
): string {
  const [mine, yours] = [one.get(path)?.split("\n"), other.get(path)?.split("\n")];
  if (mine === undefined || yours === undefined) return `${path}: only in the ${mine ? "first" : "second"}`;
  const line = mine.findIndex((text, index) => text !== yours[index]);
  return `${path}: line ${line + 1}: ${mine[line]?.slice(0, 200)} <> ${yours[line]?.slice(0, 200)}`;
}

/** By path: the text of a file without times, or the hash of its bytes. */
async function contents(root: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((item) => item.isFile())) {
    const path = relative(root, join(entry.parentPath, entry.name)).split(sep).join("/");
    const [curve] = /^tensorboard\/[^/]+/.exec(path) ?? [];
    if (curve === undefined) found.set(path, withoutTimes(path, await readFile(join(root, path))));
    else if (!found.has(curve)) found.set(curve, pretty(await readCurves(join(root, curve))));
  }
  return found;
}

function withoutTimes(path: string, bytes: Buffer): string {
  const text = bytes.toString("utf8");
  switch (path) {
    case "run.json":
      return pretty(JSON.parse(text), ["created", "updated", "wallSeconds", "peakRssBytes"]);
    case "summary.json":
      return pretty(JSON.parse(text), ["wall_seconds"]);
    case "events.jsonl":
      return text.replaceAll(/,"eta":[\d.]+(?=\}$)/gm, "");
    case "report.html":
      return text
        .replaceAll(/\d+ h \d+ min|\d+ min \d+ s|[\d.]+ s\b/g, "<duration>")
        .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<date>")
        .replaceAll(/[\d.]+ GiB/g, "<memory>");
    default:
      return createHash("sha256").update(bytes).digest("hex");
  }
}

function pretty(value: unknown, leftOut: readonly string[] = []): string {
  return JSON.stringify(value, (key, item: unknown) => (leftOut.includes(key) ? undefined : item), 1);
}
