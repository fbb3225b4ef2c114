/**
 * The test program: checks the sources, builds and runs the native tests, then every *.test.js (with --slow: every
 * *.slow.js instead). Arguments after the options are parts of file names to run.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const root = join(fileURLToPath(import.meta.url), "..", "..", "..");
const slow = process.argv.includes("--slow");
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));

function command(title: string, program: string, args: readonly string[]): void {
  console.log(`== ${title}`);
  const { status } = spawnSync(program, args, { cwd: root, stdio: "inherit" });
  if (status === 0) return;
  console.log(`${title}: failed`);
  process.exit(1);
}

/** Where nvcc is, as CMake looks for it; undefined when it is nowhere. */
function findNvcc(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/cuda/bin"];
  return [process.env.CUDACXX ?? "", ...folders.map((folder) => join(folder, "nvcc"))].find(
    (path) => path !== "" && existsSync(path),
  );
}

function testFiles(): string[] {
  const ending = slow ? ".slow.js" : ".test.js";
  return readdirSync(join(root, "dist", "test"), { recursive: true, encoding: "utf8" })
    .filter(
      (file) =>
        file.endsWith(ending) && (filters.length === 0 || filters.some((part) => file.includes(part))),
    )
    .sort()
    .map((file) => join(root, "dist", "test", file));
}

if (!slow && filters.length === 0) {
  command("check", "npm", ["run", "--silent", "check"]);
  command("native build", "cmake", [
    "--build",
    "build",
    "--target",
    "sfr_native_test",
    "sfr_shim",
    "--parallel",
    "2",
  ]);
  command("native tests", join(root, "build", "sfr_native_test"), []);
  if (findNvcc() === undefined) console.log("== CUDA library: not built, there is no nvcc here");
  else command("CUDA library", "cmake", ["--build", "build", "--target", "sfr_cuda"]);
}
const files = testFiles();
if (files.length === 0) {
  console.log(`no test file matches ${filters.join(", ")}`);
  process.exit(1);
}
run({ files, concurrency: 1, timeout: slow ? 3_600_000 : 600_000 })
  .on("test:fail", () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  .pipe(process.stdout);
