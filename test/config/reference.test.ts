import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { configurationReference } from "../../src/config/reference.js";
import { referencePages, repository } from "./reference-pages.js";

describe("reference pages", () => {
  for (const [path, page] of Object.entries(referencePages)) {
    it(`${path} is as the sources say`, () => {
      const committed = readFileSync(new URL(path, repository), "utf8");
      assert.equal(
        committed,
        page(),
        `stale: run \`node dist/test/config/write-reference.js\` and commit ${path}`,
      );
    });
  }

  it("shows range, default and flag of a setting", () => {
    assert.match(configurationReference(), /\| `rank` \| `--sam-rank` \| integer >= 1, <= 64 \| `4` \|/);
    assert.match(
      configurationReference(),
      /\| `labelled` \| `--data-labelled` \| integer >= 1, list of ids \| must be given \|/,
    );
  });
});
