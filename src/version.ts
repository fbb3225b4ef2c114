import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder of this package, seen from dist/src, where this file runs, in the checkout and in the installed package. */
const root = fileURLToPath(new URL("../../", import.meta.url));

/** Version of this package, as package.json has it. */
export const version: string = readVersion();

function readVersion(): string {
  const text = readFileSync(join(root, "package.json"), "utf8");
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed === "object" && parsed !== null && "version" in parsed) return String(parsed.version);
  return "unknown";
}

/** Commit of the checkout that runs, 40 digits, with `-dirty` when files have changed since; null outside a checkout. */
export function commit(): string | null {
  // An installed package may lie inside a repository of its user's.
  if (!existsSync(join(root, ".git"))) return null;
  try {
    const args = ["-C", root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"];
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null;
  }
}
