import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DataError, UsageError } from "../../src/errors.js";
import { canonicalJson, stageKey } from "../../src/io/stage-key.js";
import { FolderLock } from "../../src/run/folder-lock.js";
import { RunFolder, type RunIdentity, readRunRecord } from "../../src/run/run-folder.js";

const identity: RunIdentity = {
  config: { data: { root: "x" }, retrain: { steps: 600, patch: [64, 64, 32] } },
  seed: 7,
  versions: { sfr: "0.1.0", node: "20.19.0" },
  cpuLevel: "x86-64-v4",
  device: "cpu",
};

describe("RunFolder", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-run-"));
  });
  after(() => rm(root, { recursive: true }));

  it("records stages, hashes and cases, and is found done on the next start", async () => {
    const path = join(root, "a/b");
    const key = stageKey({ steps: 600 });
    const first = await RunFolder.open(path, identity);
    assert.equal(first.isDone("finetune", key), false);
    await first.startStage("finetune", key);
    assert.equal(first.isDone("finetune", key), false);
    await first.addHashes({ inputs: { c1: "aa" } });
    await first.addHashes({ inputs: { c2: "bb" }, weights: { sam: "cc" } });
    await first.endStage("finetune", "done");
    await first.startStage("predict", key);
    await first.recordCase("c1", { status: "done" });
    await first.recordCase("c2", { status: "failed", error: "label id 9" });
    await first.endStage("predict", "partial", "1 of 2 cases failed");
    await first.close("partial");
    const record = readRunRecord(path);
    assert.equal(record?.status, "partial");
    assert.deepEqual(record?.inputs, { c1: "aa", c2: "bb" });
    assert.deepEqual(record?.weights, { sam: "cc" });
    assert.deepEqual(record?.cases.c2, { status: "failed", error: "label id 9" });
    assert.deepEqual(
      record?.stages.map(({ name, status, error }) => [name, status, error]),
      [
        ["finetune", "done", undefined],
        ["predict", "partial", "1 of 2 cases failed"],
      ],
    );
    assert.ok((record?.peakRssBytes ?? 0) > 10 * 2 ** 20, "Node itself takes more than 10 MB");

    await using second = await RunFolder.open(path, identity);
    assert.equal(second.isDone("finetune", key), true);
    assert.equal(second.isDone("predict", key), false, "a failed case is tried again");
    assert.equal(second.isDone("finetune", stageKey({ steps: 601 })), false);
    assert.equal(second.record.created, record?.created);
    assert.deepEqual(second.warnings, []);
    assert.deepEqual((await readdir(path)).sort(), ["lock", "run.json"]);
  });

  it("keeps a case failed that fails in one arm and not in the next, until a later start does it", async () => {
    const path = join(root, "cases");
    const first = await RunFolder.open(path, identity);
    await first.recordCase("c1", { status: "failed", error: "no space left" });
    await first.recordCase("c1", { status: "done" });
    assert.deepEqual(first.record.cases, { c1: { status: "failed", error: "no space left" } });
    await first.close("partial");
    const second = await RunFolder.open(path, identity);
    await second.recordCase("c1", { status: "done" });
    assert.deepEqual(second.record.cases, { c1: { status: "done" } });
    await second.close("done");
  });

  it("adds up a stage's time over starts of the same key", async () => {
    const path = join(root, "time");
    const wait = () => new Promise((resolve) => setTimeout(resolve, 30));
    const seconds = (folder: RunFolder) => folder.record.stages[0]?.wallSeconds ?? 0;
    await using first = await RunFolder.open(path, identity);
    await first.startStage("retrain", "k");
    await wait();
    await first.checkpointStage("retrain");
    // Timers may fire up to a millisecond early.
    assert.ok(seconds(first) >= 0.028, `${seconds(first)}`);
    const before = seconds(first);
    await first[Symbol.asyncDispose]();
    await using second = await RunFolder.open(path, identity);
    assert.equal(second.record.stages[0]?.status, "stopped", "left running by the first");
    await second.startStage("retrain", "k");
    await wait();
    await second.endStage("retrain", "done");
    assert.ok(seconds(second) >= before + 0.028, `${seconds(second)}`);
    await second.startStage("retrain", "another key");
    assert.equal(seconds(second), 0);
    await assert.rejects(second.endStage("stitch", "done"), UsageError);
  });

  it("refuses another configuration or seed and names the first key that differs", async () => {
    const path = join(root, "unlike");
    await (await RunFolder.open(path, identity)).close("done");
    const text = await readFile(join(path, "run.json"), "utf8");
    const refuses = async (change: Partial<RunIdentity>, pattern: RegExp) => {
      await assert.rejects(
        RunFolder.open(path, { ...identity, ...change }),
        (error) => error instanceof UsageError && pattern.test(error.message),
      );
      assert.equal(await readFile(join(path, "run.json"), "utf8"), text);
    };
    const config = (retrain: object) => ({ config: { data: { root: "x" }, retrain: { ...retrain } } });
    await refuses(config({ steps: 800, patch: [64, 64, 32] }), /retrain\.steps = 600 .* received 800;/);
    await refuses(config({ steps: 600, patch: [64, 64, 48] }), /retrain\.patch\.2 = 32 .* received 48;/);
    await refuses(config({ steps: 600 }), /retrain\.patch = \[64,64,32\] .* received nothing;/);
    await refuses({ seed: 8 }, /seed = 7 .* received 8;/);
    const reordered = { retrain: { patch: [64, 64, 32], steps: 600 }, data: { root: "x", limit: undefined } };
    await (await RunFolder.open(path, { ...identity, config: reordered })).close("done");
  });

  it("takes another configuration after a failure before the first step, and not after one", async () => {
    const path = join(root, "mistyped");
    const failed = async (change: Partial<RunIdentity>, steps: number) => {
      const folder = await RunFolder.open(path, { ...identity, ...change });
      await folder.startStage("finetune", "key");
      for (let step = 0; step < steps; step++) folder.event({ stage: "finetune", step, total: 1 });
      await folder.endStage("finetune", "failed", "the file does not fit");
      await folder.close("failed");
      return folder.record;
    };
    await failed({}, 0);
    const { config, stages } = await failed({ config: { rank: 3 } }, 1);
    assert.deepEqual([config, stages.length], [{ rank: 3 }, 1]);
    await assert.rejects(failed({ config: { rank: 4 } }, 0), /expected rank = 3 as in/);
  });

  it("goes on with another SIMD level or version, but says so", async () => {
    const path = join(root, "level");
    await (await RunFolder.open(path, identity)).close("done");
    const other = { ...identity, cpuLevel: "x86-64-v3", versions: { ...identity.versions, node: "22.0.0" } };
    await using folder = await RunFolder.open(path, other);
    assert.equal(folder.warnings.length, 2);
    assert.match(folder.warnings[0] ?? "", /cpuLevel was "x86-64-v4".*"x86-64-v3"/);
    assert.match(folder.warnings[1] ?? "", /versions\.node/);
  });

  it("drops events after the last checkpoint, of that stage and arm only, and a line cut off by a kill", async () => {
    await using folder = await RunFolder.open(join(root, "events"), identity);
    for (let step = 1; step <= 5; step += 1) {
      folder.event({
        stage: "retrain",
        arm: "SFR",
        step,
        total: 5,
        loss: 1 / step,
        terms: { dice: 0.5 },
        lr: 0.01,
      });
      folder.event({ stage: "retrain", arm: "other", step, total: 5 });
      folder.event({ stage: "predict", case: `c${step}`, step, total: 5, loss: Number.NaN });
    }
    await appendFile(folder.file("events.jsonl"), '{"stage":"retrain","arm":"SFR","st');
    assert.equal(folder.events().length, 15);
    await folder.dropEventsAfter("retrain", 3, "SFR");
    folder.event({ stage: "retrain", arm: "SFR", step: 4, total: 5, loss: 9 });
    const events = folder.events();
    assert.deepEqual(
      events.filter((event) => event.arm === "SFR").map((event) => [event.step, event.loss]),
      [
        [1, 1],
        [2, 0.5],
        [3, 1 / 3],
        [4, 9],
      ],
    );
    assert.equal(events.filter((event) => event.arm === "other").length, 5);
    assert.equal(events.filter((event) => event.stage === "predict").length, 5);
    assert.deepEqual(events[0], {
      stage: "retrain",
      arm: "SFR",
      step: 1,
      total: 5,
      loss: 1,
      terms: { dice: 0.5 },
      lr: 0.01,
    });
    const lines = (await readFile(folder.file("events.jsonl"), "utf8")).split("\n");
    assert.equal(lines.pop(), "");
    assert.equal(lines.length, 14);
  });

  it("refuses a damaged run.json and a path that is no folder, and leaves no lock", async () => {
    const path = join(root, "damaged");
    await (await RunFolder.open(path, identity)).close("done");
    await writeFile(join(path, "run.json"), '{"format": 1, ');
    await assert.rejects(RunFolder.open(path, identity), DataError);
    assert.deepEqual((await readdir(path)).sort(), ["run.json"]);
    await assert.rejects(RunFolder.open(join(path, "run.json"), identity), DataError);
  });
});

describe("the lock of a run folder", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-lock-"));
  });
  after(() => rm(root, { recursive: true }));

  it("keeps a second holder out, in this process and in others, until it is given free", async () => {
    const path = join(root, "held");
    const first = await RunFolder.open(path, identity);
    await assert.rejects(RunFolder.open(path, identity), (error) => {
      return error instanceof UsageError && error.message.includes(`process ${process.pid} `);
    });
    await first.close("done");
    await (await RunFolder.open(path, identity)).close("done");
    assert.deepEqual(await readdir(path), ["run.json"]);
  });

  it("is taken over after kill -9, and when its process id belongs to another process now", async () => {
    const path = join(root, "killed");
    const url = new URL("../../src/run/run-folder.js", import.meta.url).href;
    const script = `const { RunFolder } = await import(${JSON.stringify(url)});
      const folder = await RunFolder.open(${JSON.stringify(path)}, ${JSON.stringify(identity)});
      await folder.startStage("retrain", "k");
      folder.event({ stage: "retrain", step: 1, total: 2 });
      console.log("ready"); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await assert.rejects(RunFolder.open(path, identity), UsageError);
    child.kill("SIGKILL");
    await once(child, "exit");
    const second = await RunFolder.open(path, identity);
    assert.equal(second.events().length, 1);
    assert.equal(second.record.stages[0]?.status, "stopped");
    const lock = JSON.parse(await readFile(join(path, "lock"), "utf8"));
    await second.close("stopped");
    await writeFile(join(path, "lock"), JSON.stringify({ ...lock, started: "1" }));
    await (await RunFolder.open(path, identity)).close("done");
    await writeFile(
      join(path, "lock"),
      JSON.stringify({ ...lock, started: "1", host: `${lock.host}-other` }),
    );
    await assert.rejects(RunFolder.open(path, identity), /-other holding it/);
    await writeFile(join(path, "lock"), "");
    await assert.rejects(RunFolder.open(path, identity), /unreadable lock/);
  });

  it("is taken over from a killed process that its parent has not asked after", async () => {
    const path = join(root, "zombie");
    const url = new URL("../../src/run/folder-lock.js", import.meta.url).href;
    const script = `const { mkdirSync } = await import("node:fs");
      mkdirSync(${JSON.stringify(path)});
      (await import(${JSON.stringify(url)})).FolderLock.acquire(${JSON.stringify(path)});
      console.log("ready"); setInterval(() => {}, 1000);`;
    // The shell becomes a program that knows nothing of the child it now has.
    const parent = spawn(
      "sh",
      ["-c", '"$0" --input-type=module -e "$1" & exec sleep 60', process.execPath, script],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    try {
      await once(parent.stdout, "data");
      const { pid } = JSON.parse(await readFile(join(path, "lock"), "utf8")) as { pid: number };
      assert.throws(() => FolderLock.acquire(path), UsageError);
      process.kill(pid, "SIGKILL");
      const state = async () => / ([A-Z]) \d+ /.exec(await readFile(`/proc/${pid}/stat`, "utf8"))?.[1];
      const deadline = Date.now() + 10_000;
      while ((await state()) !== "Z") assert.ok(Date.now() < deadline, "the child is a zombie by now");
      FolderLock.acquire(path).release();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("goes to exactly one of several processes that find it stale", () => {
    const path = join(root, "race");
    const url = new URL("../../src/run/folder-lock.js", import.meta.url).href;
    const script = `import { spawn } from "node:child_process";
      import { mkdirSync, writeFileSync } from "node:fs";
      import { hostname } from "node:os";
      const path = ${JSON.stringify(path)};
      mkdirSync(path);
      writeFileSync(path + "/lock", JSON.stringify({ pid: 4194303, host: hostname(), started: "1" }));
      const one = 'const { FolderLock } = await import(${JSON.stringify(url)});' +
        'while (Date.now() < ' + (Date.now() + 700) + ');' +
        'try { FolderLock.acquire(' + JSON.stringify(path) + '); console.log("got"); } catch {}' +
        'await new Promise((resolve) => setTimeout(resolve, 500));';
      for (let i = 0; i < 4; i += 1)
        spawn(process.execPath, ["--input-type=module", "-e", one], { stdio: "inherit" });`;
    const result = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    assert.equal(result.stdout, "got\n", result.stderr);
  });
});

describe("stageKey", () => {
  it("depends on content, not on the order of keys, and takes no NaN", () => {
    assert.equal(
      canonicalJson({ b: [1, -0, null], a: { d: "ü", c: undefined } }),
      '{"a":{"d":"ü"},"b":[1,0,null]}',
    );
    // sha256 of {"a":1}, from coreutils.
    assert.equal(stageKey({ a: 1 }), "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
    assert.equal(stageKey({ a: 1, b: 2 }), stageKey({ b: 2, a: 1 }));
    assert.notEqual(stageKey({ a: [1, 2] }), stageKey({ a: [2, 1] }));
    assert.throws(() => stageKey({ a: Number.NaN }), UsageError);
  });
});
