/**
 * Builds the addon: looks for the tools first, then runs cmake-js in the working directory. When either fails, the last
 * thing printed is what was found, what is needed and the command that cures it. Runs before TypeScript is built.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { freemem } from "node:os";
import { dirname, join } from "node:path";

/** The levels that CMakeLists.txt compiles kernels for; older compilers do not know their names. */
const levelFlags = process.arch === "x64" ? ["-march=x86-64-v4"] : [];
const minimumCMake = /cmake_minimum_required\(VERSION ([\d.]+)\)/.exec(
  readFileSync(new URL("../CMakeLists.txt", import.meta.url), "utf8"),
)?.[1];
const program =
  "#include <optional>\nint main() { if constexpr (true) return std::optional<int>(0).value(); }\n";

/** Packages of the tools, by the names of a distribution in /etc/os-release. */
const installers = [
  [/debian|ubuntu/, "apt-get install g++ cmake make"],
  [/fedora|rhel|centos/, "dnf install gcc-c++ cmake make"],
  [/suse/, "zypper install gcc-c++ cmake make"],
  [/arch/, "pacman -S gcc cmake make"],
  [/alpine/, "apk add g++ cmake make"],
];

/** Runs a program; `status` is null when there is none. */
function run(command, args, input = "") {
  return spawnSync(command, args, { encoding: "utf8", input, timeout: 60_000 });
}

/** First line that a program says of its version; undefined when there is no such program. */
function versionOf(command, args = []) {
  const { status, stdout } = run(command, [...args, "--version"]);
  return status === 0 ? stdout.split("\n")[0] : undefined;
}

function isAtLeast(version, minimum) {
  const [a, b] = [version, minimum].map((text) => text.split(".").map(Number));
  const at = b.findIndex((part, i) => part !== (a[i] ?? 0));
  return at < 0 || (a[at] ?? 0) > b[at];
}

function findCMake() {
  const found = versionOf("cmake");
  const version = /[\d.]+\d/.exec(found ?? "")?.[0] ?? "0";
  return {
    name: "cmake",
    found: found ?? "none",
    needed: `${minimumCMake} or newer`,
    fits: isAtLeast(version, minimumCMake),
    cure: found === undefined ? undefined : "pip install cmake   # a newer one, without root",
  };
}

function findCompiler() {
  const names = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  const needed =
    `C++17${levelFlags.map((flag) => ` and ${flag}`).join("")}` +
    (levelFlags.length > 0 ? ": GCC 11 or newer, Clang 12 or newer" : "");
  for (const name of names) {
    const [command, ...args] = name.trim().split(/\s+/);
    const version = versionOf(command, args);
    if (version === undefined) continue;
    const { status, stderr } = run(
      command,
      [...args, "-std=c++17", ...levelFlags, "-S", "-o", "-", "-x", "c++", "-"],
      program,
    );
    const says =
      status === 0 ? "" : `; it says: ${/error.*/.exec(stderr)?.[0] ?? stderr.trim().split("\n")[0]}`;
    const cure = "CXX=<a newer compiler> npm run build:native   # such as g++-12";
    return { name: "compiler", found: `${name}: ${version}${says}`, needed, fits: status === 0, cure };
  }
  return { name: "compiler", found: `none (${names.join(", ")})`, needed, fits: false };
}

function findMake() {
  const ninja = versionOf("ninja");
  const found = ninja === undefined ? versionOf("make") : `ninja ${ninja}`;
  return { name: "make", found: found ?? "none", needed: "make or ninja", fits: found !== undefined };
}

function installCommand() {
  const path = "/etc/os-release";
  const system = existsSync(path) ? readFileSync(path, "utf8") : "";
  const ids = [...system.matchAll(/^ID(?:_LIKE)?=(.*)$/gm)].map(([, id]) => id).join(" ");
  const command = installers.find(([pattern]) => pattern.test(ids))?.[1];
  if (command === undefined)
    return "install a C++ compiler, CMake and make with the system's package manager";
  return process.getuid?.() === 0 ? command : `sudo ${command}`;
}

/** The block that ends a failed build. */
function explain(title, tools, cures) {
  const machine = `${process.platform} ${process.arch}, Node ${process.version}, ${(freemem() / 2 ** 30).toFixed(1)} GiB free`;
  const block = (head, rows) =>
    rows.map((row, i) => `  ${(i === 0 ? head : "").padEnd(7)} ${row}`).join("\n");
  const lines = [
    `\nsfr: ${title}`,
    block("found", [...tools.map(({ name, found }) => `${name.padEnd(9)} ${found}`), `machine   ${machine}`]),
    block(
      "needed",
      tools.map(({ name, needed }) => `${name.padEnd(9)} ${needed}`),
    ),
    block("cure", cures),
  ];
  process.stderr.write(`${lines.join("\n")}\n\n`);
  process.exit(1);
}

const tools = [findCMake(), findCompiler(), findMake()];
const unfit = tools.filter(({ fits }) => !fits);
// A configured build has found its tools, wherever they are.
if (unfit.length > 0 && !existsSync(join("build", "CMakeCache.txt"))) {
  const cures = unfit.flatMap(({ cure }) => cure ?? []);
  const isMissing = cures.length < unfit.length;
  const problems = unfit.map(({ name, cure }) => `${name} is ${cure === undefined ? "missing" : "too old"}`);
  explain(`the native addon cannot be built here: ${problems.join(", ")}`, tools, [
    ...(isMissing ? [installCommand(), "npm run build:native"] : []),
    ...cures,
  ]);
}
const require = createRequire(import.meta.url);
const cmakeJs = join(dirname(require.resolve("cmake-js/package.json")), "bin", "cmake-js");
const { status } = spawnSync(process.execPath, [cmakeJs, "compile", "--parallel", "2"], { stdio: "inherit" });
if (status !== 0) {
  explain("building the native addon failed; the lines above say where", tools, [
    ...(unfit.length > 0 ? [installCommand(), "npm run build:native"] : []),
    "npx cmake-js compile --parallel 1   # when the memory did not suffice for two compilers",
    "otherwise report the lines above",
  ]);
}
