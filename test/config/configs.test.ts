import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { resolveConfig } from "../../src/config/load.js";
import { planArms } from "../../src/run/plan.js";
import { repository } from "./reference-pages.js";

const folder = new URL("configs/", repository);

describe("configurations of the package", () => {
  for (const name of readdirSync(folder)) {
    it(`${name} is valid`, () => {
      const config = resolveConfig(fileURLToPath(new URL(name, folder)), { "data.root": "x" });
      assert.ok(planArms(config).length >= 3);
    });
  }
});
