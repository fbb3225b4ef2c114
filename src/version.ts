import { readFileSync } from "node:fs";

/** Version of this package, as package.json has it. */
export const version: string = readVersion();

function readVersion(): string {
  // Seen from dist/src, where this file runs, in the checkout and in the installed package alike.
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed === "object" && parsed !== null && "version" in parsed) return String(parsed.version);
  return "unknown";
}
