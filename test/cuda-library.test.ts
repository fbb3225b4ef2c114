import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const build = join(import.meta.dirname, "..", "..", "build");
const library = join(build, "cuda", "libsfr_cuda.so");

/** What `npm test` builds where it finds nvcc. */
const skip = existsSync(library) ? false : "libsfr_cuda is not built here";

test("libsfr_cuda says what it lacks, or its card gives what the CPU gives", { skip }, () => {
  const { status, stdout } = spawnSync(join(build, "sfr_native_test"), ["--cuda", library, "conv3d/odd"], {
    encoding: "utf8",
  });
  if (status === 0) assert.match(stdout, /^device: cuda:0 /);
  else
    assert.match(
      stdout,
      /^cuda: expected a card 0 and a driver for it, received '.+'; look at nvidia-smi, or run on the CPU\n$/,
    );
});

test("libsfr_cuda exports its function table and nothing else, and needs no CUDA library", { skip }, () => {
  const symbols = spawnSync("nm", ["--dynamic", "--defined-only", "--format=posix", library], {
    encoding: "utf8",
  });
  const names = symbols.stdout
    .split("\n")
    .map((line) => line.split(" ")[0])
    .filter((name) => name?.includes("sfr"));
  assert.deepEqual(names, ["sfr_device_table"]);
  const needs = spawnSync("ldd", [library], { encoding: "utf8" }).stdout;
  assert.doesNotMatch(needs, /libcud|libnv|not found/);
});
