import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { resolveConfig } from "../../src/config/load.js";
import { planArms } from "../../src/run/plan.js";
import { readGrid } from "../../src/sweep/grid.js";
import { planJobs } from "../../src/sweep/jobs.js";
import { repository } from "./reference-pages.js";

const folder = fileURLToPath(new URL("configs/", repository));
const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".yaml"),
);

describe("configurations of the package", () => {
  for (const name of names) {
    it(`${name} is valid`, () => {
      const path = join(folder, name);
      if (/^methods:/m.test(readFileSync(path, "utf8"))) {
        assert.ok(planJobs(readGrid(path), path, { "data.root": "x" }).length >= 3);
        return;
      }
      assert.ok(planArms(resolveConfig(path, { "data.root": "x" })).length >= 3);
    });
  }
});
