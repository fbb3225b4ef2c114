import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const source = join(root, "src");

/** The rooms that docs/architecture.md lists, the highest first. */
function documentedRooms(): string[] {
  const text = readFileSync(join(root, "docs", "architecture.md"), "utf8");
  const [, list = ""] = /^Rooms, the highest first: (.*)$/m.exec(text) ?? [];
  return [...list.matchAll(/`(\w+)`/g)].map(([, room = ""]) => room);
}

/** Room of a path below src; files that lie in no room are below all. */
const roomOf = (path: string): string => (path.includes(sep) ? path.slice(0, path.indexOf(sep)) : "");

/** `file -> file` for each import of a file in a room that is higher in the list. */
function upwardImports(rooms: readonly string[]): string[] {
  const height = (path: string) => -[...rooms, ""].indexOf(roomOf(path));
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".ts"),
  );
  return files.flatMap((file) => {
    // The package's public face stands above everything.
    if (file === "index.ts") return [];
    const imports = readFileSync(join(source, file), "utf8").matchAll(/\b(?:from|import)[\s(]*"(\.[^"]+)"/g);
    return [...imports]
      .map(([, path = ""]) => resolve(source, file, "..", path))
      .filter((target) => target.startsWith(source + sep))
      .map((target) => target.slice(source.length + 1))
      .filter((target) => height(target) > height(file))
      .map((target) => `${file} -> ${target}`);
  });
}

test("a file imports from its own room and lower ones, in the order of docs/architecture.md", () => {
  const rooms = documentedRooms();
  const folders = readdirSync(source, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.deepEqual([...rooms].sort(), folders.map(({ name }) => name).sort());
  assert.deepEqual(upwardImports(rooms), []);
  // Upside down nearly everything points upwards: imports are found at all.
  assert.ok(upwardImports([...rooms].reverse()).length > 100);
});
