import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { UsageError } from "../../src/errors.js";
import { readGrid } from "../../src/sweep/grid.js";
import { planJobs } from "../../src/sweep/jobs.js";

const base = `name: b
data:
  root: x
  labelled: 2
patch: [32, 32, 32]
sam:
  canvas: 256
arms:
  - method: labelled-only
`;
const good = `name: g
config: base.yaml
settings: { retrain.steps: 20 }
over: { seed: [1, 2], data.labelled: [1, 4] }
methods:
  - method: labelled-only
  - method: mean-teacher
    pseudoLabels: [none, sam, exchange]
  - { method: ua-mt, name: Wide, settings: { segmenter.filters: 32 } }
`;

describe("grid of a sweep", () => {
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "sfr-grid-"));
    writeFileSync(join(folder, "base.yaml"), base);
  });
  after(() => rmSync(folder, { recursive: true }));

  const jobsOf = (text: string, overrides: Record<string, unknown> = {}) => {
    const path = join(folder, "g.yaml");
    writeFileSync(path, text);
    return planJobs(readGrid(path), path, overrides);
  };

  it("gives a job per seed, count, method and kind of pseudo-labels, the first path slowest", () => {
    const jobs = jobsOf(good, { "data.root": "/data" });
    assert.equal(jobs.length, 2 * 2 * 5);
    assert.deepEqual(
      jobs.slice(0, 6).map((job) => job.folder),
      [
        "v-net-labelled-only_seed-1_data.labelled-1",
        "mean-teacher_seed-1_data.labelled-1",
        "sfr-random-sam_seed-1_data.labelled-1",
        "sfr-plus-random-sam_seed-1_data.labelled-1",
        "wide_seed-1_data.labelled-1",
        "v-net-labelled-only_seed-1_data.labelled-4",
      ],
    );
    const last = jobs.at(-1) ?? assert.fail();
    assert.deepEqual(
      [last.config.seed, last.config.data.labelled, last.point],
      [2, 4, { "data.labelled": 4 }],
    );
    assert.ok(jobs.every(({ config }) => config.retrain.steps === 20 && config.data.root === "/data"));
    assert.deepEqual([jobs[3]?.config.segmenter.filters, last.config.segmenter.filters], [16, 32]);
  });

  it("puts the arm that SFR+ begins from in front of it, and is about the second", () => {
    const { config, arm } = jobsOf(good)[3] ?? assert.fail();
    assert.deepEqual(
      config.arms.map(({ pseudoLabels }) => pseudoLabels),
      ["sam", "exchange"],
    );
    assert.equal(arm.name, "SFR+ (random SAM)");
  });

  it("refuses what no job could be made of, naming the nearest setting", () => {
    const refuses = (text: string, message: RegExp, overrides = {}) =>
      assert.throws(
        () => jobsOf(text, overrides),
        (error) => error instanceof UsageError && message.test(error.message),
        String(message),
      );
    refuses(
      good.replace("data.labelled", "data.labeled"),
      /'data\.labeled'; did you mean 'data\.labelled'\?/,
    );
    refuses(
      good.replace("retrain.steps: 20", "retrain.steps: many"),
      /job labelled-only, none, seed 1, .*retrain\.steps/,
    );
    refuses(good.replace(", name: Wide", "").replace("ua-mt", "mean-teacher"), /two of 'mean-teacher_seed-1/);
    refuses(good, /seed in 'over' or as a flag/, { seed: "3" });
    refuses(`${good}paper: KiTS\n`, /expected one of LA; .*received 'KiTS'/);
    refuses(good.replace("method: labelled-only", "method: labeled-only"), /at 'methods\.0\.method'/);
    refuses("name: [", /readable grid/);
  });
});
