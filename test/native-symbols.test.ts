import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const build = join(import.meta.dirname, "..", "..", "build", "CMakeFiles");

test("SIMD objects define nothing outside their level's namespace", () => {
  const levels = readdirSync(build).filter((folder) => folder.startsWith("sfr_simd_"));
  assert.ok(levels.length > 0);
  for (const folder of levels) {
    const level = folder.replace("sfr_simd_", "").replace(".dir", "");
    const objects = readdirSync(join(build, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".o"))
      .map((file) => join(build, folder, file));
    assert.ok(objects.length > 0);
    const { stdout, status } = spawnSync(
      "nm",
      ["--defined-only", "--extern-only", "--format=posix", ...objects],
      {
        encoding: "utf8",
      },
    );
    assert.equal(status, 0);
    const symbols = stdout.split("\n").filter((line) => / [A-Z] /.test(line));
    assert.ok(symbols.length > 0);
    // A name mangled as _ZN3sfr<length><level>... is in namespace sfr::<level>. Anything else could be merged with
    // the copy of another level by the linker, and run instructions that this CPU lacks.
    const mangled = `_ZN3sfr${level.length}${level}`;
    const foreign = symbols.filter((line) => !line.startsWith(mangled));
    assert.deepEqual(foreign, [], `level ${level}`);
  }
});
