/** What `npm pack` puts into the package: all that it needs, and nothing else. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("the package", () => {
  let files = new Set<string>();
  let bytes = 0;
  before(() => {
    const words = ["pack", "--dry-run", "--json", "--ignore-scripts"];
    const { status, stdout, stderr } = spawnSync("npm", words, { cwd: root, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const [packed] = JSON.parse(stdout) as [{ size: number; files: { path: string }[] }];
    files = new Set(packed.files.map(({ path }) => path));
    bytes = packed.size;
  });

  it("has every module that one of its modules imports", () => {
    const modules = [...files].filter((path) => path.endsWith(".js"));
    assert(modules.length > 100);
    for (const path of modules) {
      const text = readFileSync(join(root, path), "utf8");
      for (const [, name = ""] of text.matchAll(/(?:from|import\() ?"(\.[^"]+)"/g)) {
        const wanted = posix.join(posix.dirname(path), name);
        assert(files.has(wanted), `${path} imports ${wanted}`);
      }
    }
  });

  it("has every source of the engine and its build", () => {
    const sources = readdirSync(join(root, "cpp"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => posix.join(entry.parentPath.slice(root.length), entry.name));
    assert(sources.length > 200);
    for (const path of [...sources, "CMakeLists.txt", "binding/build.mjs", "binding/addon.cc"])
      assert(files.has(path), path);
  });

  it("has the peers of its benches", () => {
    for (const path of ["bench/peers/setup", "bench/peers/peer.py", "test/oracle/inputs.py"])
      assert(files.has(path), path);
  });

  it("has no tests, results or builds, and stays below 2 MB", () => {
    for (const path of files) assert.doesNotMatch(path, /\.test\.|\.slow\.|fixtures|\.jsonl$|\.venv|^build/);
    assert(bytes < 2e6, `${bytes} bytes`);
  });
});
