import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { csvFields } from "../../src/io/csv.js";
import { summarize, writeSummary } from "../../src/metrics/summary.js";
import { withAbsolutePaths } from "../../src/run/pipeline.js";
import { type Grid, readGrid } from "../../src/sweep/grid.js";
import { type Job, planJobs } from "../../src/sweep/jobs.js";
import { sweepPage } from "../../src/sweep/page.js";
import { type SweepRow, sweepRows } from "../../src/sweep/rows.js";
import { jobPath } from "../../src/sweep/run-jobs.js";
import { sweepCsv, sweepMarkdown } from "../../src/sweep/table.js";
import { classScores } from "../metrics/class-scores.js";

const base = `name: b
data: { root: x, labelled: 16 }
patch: [32, 32, 32]
arms: [{ method: labelled-only }]
`;
const gridText = `name: g
config: base.yaml
over: { data.labelled: [1, 16], seed: [1, 2] }
methods:
  - method: labelled-only
  - { method: mean-teacher, pseudoLabels: [none, sam] }
  - { method: mean-teacher, name: wide, pseudoLabels: [sam, exchange] }
paper: LA
imports:
  - { name: SAM 2, predictions: p, references: r, at: { data.labelled: 16 }, paper: "SAM 2, 2 clicks", parameters: 3.9e7 }
`;

/** Dice of three cases, by name of the row and seed. */
const dice: Readonly<Record<string, readonly (readonly number[])[]>> = {
  "V-Net, labelled only": [
    [0.5, 0.6, 0.7],
    [0.7, 0.8, 0.9],
  ],
  "Mean Teacher": [
    [0.6, 0.7, 0.8],
    [0.8, 0.9, 1],
  ],
};

describe("comparison of a sweep", () => {
  let out = "";
  let grid: Grid;
  let jobs: Job[] = [];
  let rows: SweepRow[] = [];
  before(async () => {
    out = mkdtempSync(join(tmpdir(), "sfr-rows-"));
    writeFileSync(join(out, "base.yaml"), base);
    writeFileSync(join(out, "grid.yaml"), gridText);
    grid = readGrid(join(out, "grid.yaml"));
    jobs = planJobs(grid, "grid.yaml", {});
    for (const job of jobs) {
      const values = dice[job.arm.name]?.[job.config.seed - 1];
      if (values !== undefined && job.config.data.labelled === 16) await finish(job, values);
    }
    const [item] = grid.imports;
    assert.ok(item);
    rows = await sweepRows(grid, jobs, [{ item, summary: summaryOf([0.1, 0.2, 0.3]) }], out);
  });
  after(() => rmSync(out, { recursive: true }));

  const summaryOf = (values: readonly number[]) =>
    summarize(
      values.map((value, i) => ({
        id: `c${i}`,
        unit: "mm",
        classes: [classScores(1, { Dice: value, HD95: 4 })],
      })),
    );

  /** Leaves what a run leaves. */
  async function finish(job: Job, values: readonly number[]): Promise<void> {
    const folder = jobPath(out, job);
    mkdirSync(join(folder, "arms", job.arm.folder), { recursive: true });
    await writeSummary(join(folder, "arms", job.arm.folder, "summary.json"), summaryOf(values));
    const record = { format: 1, status: "done", config: withAbsolutePaths(job.config) };
    writeFileSync(join(folder, "run.json"), JSON.stringify(record));
    const arms = { [job.arm.name]: { wall_seconds: 10 * job.config.seed } };
    writeFileSync(join(folder, "summary.json"), JSON.stringify({ arms }));
  }

  const near = (value: number | null | undefined, expected: number) =>
    // Sums of a few numbers below 1 in doubles.
    assert.ok(Math.abs((value ?? Number.NaN) - expected) < 1e-12, `${value} is not ${expected}`);

  it("has a row for each method and point with finished jobs, then the imports", () => {
    assert.deepEqual(
      rows.map(({ name, point, seeds }) => [name, point["data.labelled"], seeds]),
      [
        ["V-Net, labelled only", 16, [1, 2]],
        ["Mean Teacher", 16, [1, 2]],
        ["SAM 2", 16, []],
      ],
    );
  });

  it("has means and sample standard deviations over seeds and over cases", () => {
    const { scores, seconds, cases, unit } = rows[1] ?? assert.fail();
    near(scores.Dice?.mean, 0.8);
    near(scores.Dice?.sdSeeds, Math.sqrt(0.02)); // of 0.7 and 0.9
    near(scores.Dice?.sdCases, 0.1); // of 0.7, 0.8, 0.9
    assert.deepEqual([seconds, cases, unit, scores.HD95?.mean], [15, 3, "mm", 4]);
  });

  it("tests pairs of cases, each averaged over the common seeds, against what a row builds on", async () => {
    const { test } = rows[1] ?? assert.fail();
    near(test?.difference, 0.1);
    // Three differences of one sign: 2 / 2^3.
    assert.deepEqual(
      [test?.against, test?.seeds, test?.better, test?.worse, test?.p],
      ["V-Net, labelled only", 2, 3, 0, 0.25],
    );
    assert.equal(rows[0]?.test, null);
    near(rows[2]?.test?.difference, -0.5);
    const sfr = jobs.find(
      ({ kind, arm, config }) =>
        kind === "sam" && arm.name.startsWith("SFR (") && config.data.labelled === 16 && config.seed === 2,
    );
    await finish(sfr ?? assert.fail(), [0.8, 0.9, 0.9]);
    const now = (await sweepRows(grid, jobs, [], out)).find(({ kind }) => kind === "sam")?.test;
    assert.deepEqual([now?.against, now?.seeds, now?.better, now?.worse], ["Mean Teacher", 1, 0, 1]);
  });

  it("compares the seeds that both rows have, at the same point of the grid", async () => {
    const scarce = jobs.filter(({ config }) => config.data.labelled === 1);
    const at = (kind: string, method: string, seed: number) =>
      scarce.find((job) => job.kind === kind && job.arm.method === method && job.config.seed === seed);
    await finish(at("none", "labelled-only", 1) ?? assert.fail(), [0.1, 0.1, 0.1]);
    await finish(at("none", "mean-teacher", 1) ?? assert.fail(), [0.2, 0.2, 0.2]);
    await finish(at("none", "mean-teacher", 2) ?? assert.fail(), [0.9, 0.9, 0.9]);
    const [, row] = await sweepRows(grid, scarce, [], out);
    assert.deepEqual([row?.name, row?.seeds, row?.test?.seeds], ["Mean Teacher", [1, 2], 1]);
    near(row?.test?.difference, 0.1);
    assert.deepEqual([row?.paper?.setting, row?.paper?.scores.Dice], ["1/79", 0.2968]);
  });

  it("tests a row against the same line of the grid first", async () => {
    const named = jobs.filter(
      ({ line, point, config }) => line === "wide" && point["data.labelled"] === 1 && config.seed === 1,
    );
    for (const job of named) await finish(job, job.kind === "sam" ? [0.3, 0.3, 0.3] : [0.4, 0.4, 0.4]);
    const found = await sweepRows(grid, jobs, [], out);
    const against = (name: string) => found.find((row) => row.name.startsWith(name))?.test?.against;
    assert.deepEqual(["SFR+ wide", "SFR wide"].map(against), ["SFR wide (random SAM)", "Mean Teacher"]);
  });

  it("has the paper's figures beside ours", () => {
    const figures = rows.map(({ paper }) => [
      paper?.table,
      paper?.method,
      paper?.scores.Dice,
      paper?.scores.HD95,
    ]);
    assert.deepEqual(figures, [
      ["I", "V-Net (LB)", 0.8603, 14.26],
      ["I", "MT", 0.8812, 10.92],
      ["XV", "SAM 2, 2 clicks", 0.3113, null],
    ]);
  });

  it("is written as CSV, Markdown and a page", () => {
    const [head = "", , second = ""] = sweepCsv(rows).split("\r\n");
    const cell = (name: string) => csvFields(second)[csvFields(head).indexOf(name)];
    assert.deepEqual(["name", "data.labelled", "seeds", "Dice_paper", "better", "p", "seconds"].map(cell), [
      "Mean Teacher",
      "16",
      "1 2",
      "0.8812",
      "3",
      "0.25",
      "15",
    ]);
    assert.match(sweepMarkdown(rows), /^\| Mean Teacher \| 16 \| 1 2 \| 0\.800 ± 0\.141 \| 0\.881 \|/m);
    const page = sweepPage(grid, rows, { done: 4, all: jobs.length });
    assert.match(page, /4 of 20 jobs are done/);
    assert.equal((page.match(/<circle/g) ?? []).length, 6, "two dots a row: ours and the paper's");
  });

  it("plots over a number that the grid changes, ours beside the paper's", () => {
    const [one] = rows;
    assert.ok(one);
    const more = [one, { ...one, point: { "data.labelled": 1 } }];
    const page = sweepPage(grid, more, { done: 2, all: 2 });
    assert.match(page, /Dice over data\.labelled/);
    assert.match(page, /The paper&#39;s/);
  });
});
