import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { csvFields } from "../../src/io/csv.js";
import { readEvents } from "../../src/io/event-log.js";
import { readRunRecord } from "../../src/run/run-folder.js";
import { sfr } from "../cli/sfr.js";
import { tinySteps, writeTinySet } from "../e2e/tiny-set.js";

/** Jobs that end well: no method fails with two labelled cases, every one with more than there are. */
const good = ["v-net-labelled-only", "sam-random-start", "sfr-random-sam", "sfr-plus-random-sam"];
const place = "data.labelled-2_seed-5";

describe("sfr sweep on tiny phantoms", () => {
  let root = "";
  let out = "";
  let grid = "";
  let config = "";
  const job = (name: string, ...parts: string[]) => join(out, "jobs", `${name}_${place}`, ...parts);
  const sweep = (...words: string[]) => sfr("sweep", grid, "--out", out, ...words);

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-sweep-"));
    const set = await writeTinySet(root);
    ({ config } = set);
    out = join(root, "sweep");
    grid = join(root, "grid.yaml");
    await cp(join(set.data, "labelsTs"), join(root, "others"), { recursive: true });
    await writeFile(
      grid,
      `name: tiny-sweep
config: tiny.yaml
over: { data.labelled: [2, 9], seed: [5] }
methods:
  - method: labelled-only
  - method: sam
  - { method: mean-teacher, pseudoLabels: [sam, exchange] }
imports:
  - { name: perfect, predictions: others, references: data, at: { data.labelled: 2 } }
`,
    );
  });
  after(() => rm(root, { recursive: true }));

  it("runs its jobs in two processes at once, and reports those that fail at the end", async () => {
    const ends = await Promise.all([sweep("--quiet"), sweep("--quiet")]);
    for (const { code, stderr } of ends) assert.ok(code === 0 || code === 4, stderr);
    const { code, stdout, stderr } = await sweep("--quiet");
    assert.equal(code, 4, stderr);
    for (const name of good) assert.equal(readRunRecord(job(name))?.status, "done", name);
    assert.match(stderr, /job v-net-labelled-only_data\.labelled-9_seed-5: .*expected .*9/);
    assert.match(stdout, /failed: sfr-plus-random-sam_data\.labelled-9_seed-5/);
  });

  it("computes what jobs have in common once, and gives all of them its files, events and time", () => {
    const users = good.slice(1).map((name) => job(name));
    const nodes = users.map((folder) => statSync(join(folder, "finetune", "sam.safetensors")).ino);
    assert.equal(new Set(nodes).size, 1);
    const weights = join("arms", "sfr-random-sam", "segmenter.safetensors");
    assert.equal(
      statSync(job("sfr-random-sam", weights)).ino,
      statSync(job("sfr-plus-random-sam", weights)).ino,
    );
    const records = users.map((folder) =>
      readRunRecord(folder)?.stages.find(({ name }) => name === "finetune"),
    );
    const [whole = Number.NaN, ...others] = records.map((record) => record?.wallSeconds ?? Number.NaN);
    // Who computed it has the time that the links took on top.
    for (const seconds of others) assert.ok(Math.abs(seconds - whole) < 0.5, `${seconds} is not ${whole}`);
    for (const folder of users) {
      const steps = readEvents(join(folder, "events.jsonl")).filter(({ stage }) => stage === "finetune");
      assert.equal(steps.length, tinySteps.finetune, folder);
    }
    assert.deepEqual(readdirSync(join(out, "claims")), []);
  });

  it("gives the bits of an ordinary run", async () => {
    const alone = join(root, "alone");
    const { code, stderr } = await sfr("retrain", config, "--out", alone, "--quiet");
    assert.equal(code, 0, stderr);
    for (const [name, arm] of [
      ["v-net-labelled-only", "v-net-labelled-only"],
      ["sfr-plus-random-sam", "sfr-plus-random-sam"],
    ] as const)
      assert.deepEqual(
        readFileSync(job(name, "arms", arm, "segmenter.safetensors")),
        readFileSync(join(alone, "arms", arm, "segmenter.safetensors")),
        name,
      );
  });

  it("writes one table of jobs and imports", () => {
    const [head = "", ...lines] = readFileSync(join(out, "table.csv"), "utf8").trim().split("\r\n");
    const columns = csvFields(head);
    const rows = lines.map((line) => csvFields(line));
    const column = (name: string) => rows.map((row) => row[columns.indexOf(name)]);
    assert.deepEqual(column("name"), [
      ...["V-Net, labelled only", "SAM (random start)", "SFR (random SAM)", "SFR+ (random SAM)", "perfect"],
    ]);
    assert.equal(column("Dice").at(-1), "1");
    assert.deepEqual(column("against"), [
      ...["", "V-Net, labelled only", "V-Net, labelled only", "SFR (random SAM)", "V-Net, labelled only"],
    ]);
    assert.ok(
      column("parameters")
        .slice(0, 4)
        .every((count) => Number(count) > 1000),
    );
    assert.ok(
      column("seconds")
        .slice(0, 4)
        .every((seconds) => Number(seconds) > 0),
    );
    assert.match(readFileSync(join(out, "report.html"), "utf8"), /4 of 8 jobs are done/);
    assert.match(readFileSync(join(out, "table.md"), "utf8"), /^\| SFR\+ \(random SAM\) \|/m);
  });

  it("does nothing a second time, and takes a lost job from the stages of the others", async () => {
    const records = () => good.map((name) => statSync(job(name, "run.json")).mtimeMs);
    const before = records();
    await sweep("--quiet");
    assert.deepEqual(records(), before);
    const weights = job("sfr-random-sam", "arms", "sfr-random-sam", "segmenter.safetensors");
    const node = statSync(weights).ino;
    await rm(job("sfr-random-sam"), { recursive: true });
    const { stderr } = await sweep();
    assert.match(stderr, /retrain\/sfr-random-sam: taken from/);
    assert.equal(statSync(weights).ino, node);
    assert.ok(existsSync(job("sfr-random-sam", "report.html")));
  });

  it("refuses a grid that is none, before anything is run", async () => {
    const { code, stderr } = await sfr("sweep", config, "--out", join(root, "none"));
    assert.equal(code, 2, stderr);
    assert.equal(existsSync(join(root, "none")), false);
  });

  it("features: draws labelled and unlabelled features of an arm, the same each time", async () => {
    const page = join(root, "features.html");
    const draw = async (...models: string[]) =>
      sfr("features", ...models, "--out", page, "--crops", "3", "--quiet", "--json");
    const arm = job("sfr-random-sam", "arms", "sfr-random-sam");
    const first = await draw(arm);
    assert.equal(first.code, 0, first.stderr);
    const { overlaps } = JSON.parse(first.stdout) as { overlaps: Record<string, number> };
    const overlap = overlaps["sfr-random-sam"] ?? Number.NaN;
    assert.ok(overlap > 0 && overlap <= 1, String(overlap));
    assert.match(
      readFileSync(page, "utf8"),
      /<svg[^>]*aria-label="sfr-random-sam, overlap 0\.\d\d: labelled, unlabelled"/,
    );
    const table = readFileSync(join(root, "features.csv"), "utf8");
    assert.equal(table.trim().split("\r\n").length, 1 + 161);
    await draw(arm);
    assert.equal(readFileSync(join(root, "features.csv"), "utf8"), table);
    const { code, stderr } = await draw(job("sam-random-start", "finetune"));
    assert.equal(code, 3, stderr);
    assert.match(stderr, /expected a segmenter/);
  });
});
