/** Fails when clang-format would change a C++ file; `--write` changes them. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(fileURLToPath(import.meta.url), "..", "..", "..");
const files = ["bench/native", "binding", "cpp", "test/native"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(cpp|cc|h|cu)$/.test(file))
    .map((file) => join(folder, file)),
);
const mode = process.argv.includes("--write") ? ["-i"] : ["--dry-run", "--Werror"];
const binary = join(root, "node_modules", ".bin", "clang-format");
const { status } = spawnSync(binary, [...mode, ...files], { cwd: root, stdio: "inherit" });
console.log(`clang-format: ${files.length} files, ${status === 0 ? "formatted" : "some need formatting"}`);
process.exitCode = status === 0 ? 0 : 1;
