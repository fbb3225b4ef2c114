import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "sfr-package-"));
after(() => rmSync(folder, { recursive: true }));

test("the package installs into an empty folder, builds its engine there and runs", () => {
  const call = (program: string, ...words: string[]) =>
    execFileSync(program, words, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", private: true }));
  const packed = call("npm", "pack", root, "--ignore-scripts").trim().split("\n").at(-1) ?? "";
  // The installer of ONNX Runtime, which is optional, would download.
  call("npm", "install", packed, "--omit=optional");
  assert.match(call("npx", "sfr", "doctor"), /^addon +loads$/m);
  call("npx", "sfr", "demo", "--finetune-steps", "2", "--retrain-steps", "2", "--out", "demo");
});
