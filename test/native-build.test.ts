import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../binding/build.mjs", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "sfr-build-"));
after(() => rmSync(root, { recursive: true }));

/** Tools that say their version and, the compiler, whether it can compile what it is given. */
const tools = {
  cmake: 'echo "cmake version 3.25.1"',
  "c++": 'echo "c++ (GCC) 12.2.0"',
  make: 'echo "GNU Make 4.3"',
};
const oldCompiler = `case "$*" in *--version) echo "c++ (GCC) 4.8.5";; *) echo "c++: error: unknown -std" >&2; exit 1;; esac`;

/** As in the project's package.json: cmake-js then takes the headers of a package and downloads none. */
const settings = { name: "x", binary: { napi_versions: [8] } };

/** Runs the build where only these programs are, in an empty folder; `isStarted`: the tools were good enough. */
function build(name: string, programs: Readonly<Record<string, string>>) {
  const folder = join(root, name);
  mkdirSync(join(folder, "work"), { recursive: true });
  writeFileSync(join(folder, "work", "package.json"), JSON.stringify(settings));
  for (const [program, body] of Object.entries(programs)) {
    writeFileSync(join(folder, program), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, program), 0o755);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], {
    cwd: join(folder, "work"),
    env: { PATH: folder },
    encoding: "utf8",
  });
  return { status, isStarted: stdout !== "", said: stderr };
}

/** The lines of one part of the block. */
function part(said: string, head: string): string {
  return new RegExp(`^ {2}${head} .*\\n(?: {4}.*\\n)*`, "m").exec(said)?.[0] ?? "";
}

describe("npm run build:native, without the tools", () => {
  it("says in one block that CMake is missing, what is needed and what to do", () => {
    const { cmake: _, ...others } = tools;
    const { status, isStarted, said } = build("no-cmake", others);
    assert.deepEqual([status, isStarted], [1, false]);
    assert.match(said, /^\nsfr: the native addon cannot be built here: cmake is missing\n/);
    assert.match(
      part(said, "found"),
      /cmake +none\n +compiler +c\+\+: c\+\+ \(GCC\) 12\.2\.0\n +make +GNU Make 4\.3\n/,
    );
    assert.match(
      part(said, "needed"),
      /cmake +3\.\d+ or newer\n +compiler +C\+\+17.*\n +make +make or ninja\n/,
    );
    assert.match(part(said, "cure"), /install|apk add|pacman/);
    assert.match(part(said, "cure"), /npm run build:native\n/);
  });

  it("says so of a missing compiler and make, too", () => {
    const { said } = build("cmake-only", { cmake: tools.cmake });
    assert.match(said, /cannot be built here: compiler is missing, make is missing\n/);
    assert.match(part(said, "found"), /compiler +none \(c\+\+, g\+\+, clang\+\+\)\n +make +none\n/);
  });

  it("shows what a compiler that is too old says, and how to name another one", () => {
    const { said } = build("old-compiler", { ...tools, "c++": oldCompiler });
    assert.match(said, /cannot be built here: compiler is too old\n/);
    assert.match(
      part(said, "found"),
      /compiler +c\+\+: c\+\+ \(GCC\) 4\.8\.5; it says: error: unknown -std\n/,
    );
    assert.match(part(said, "cure"), /^ {2}cure +CXX=<a newer compiler> npm run build:native/);
  });

  it("refuses a CMake that is too old", () => {
    const { said } = build("old-cmake", { ...tools, cmake: 'echo "cmake version 3.9.6"' });
    assert.match(said, /cannot be built here: cmake is too old\n/);
    assert.match(part(said, "cure"), /pip install cmake/);
  });

  it("ends with the same block when the build itself fails", () => {
    const failing = `case "$*" in --version) ${tools.cmake};; *) exit 7;; esac`;
    const programs = { ...tools, "g++": tools["c++"], cmake: failing };
    const { status, isStarted, said } = build("failing", programs);
    assert.deepEqual([status, isStarted], [1, true]);
    assert.match(said, /\n\nsfr: building the native addon failed; the lines above say where\n {2}found /);
    assert.match(part(said, "cure"), /--parallel 1/);
  });
});
