import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { parse, stringify } from "yaml";
import { readEvents } from "../../src/io/event-log.js";
import { readSafetensorsHeader } from "../../src/io/safetensors.js";
import { readRunRecord } from "../../src/run/run-folder.js";
import { type Call, type Outcome, startSfr } from "../cli/sfr.js";
import { differences } from "./run-comparison.js";
import { type TinySet, writeTinySet } from "./tiny-set.js";

/** A stop is answered within this many milliseconds. */
const patience = 2000;

const arm = "v-net-labelled-only";

describe("sfr, a stop by a signal", () => {
  let root = "";
  let set: TinySet = { data: "", config: "" };
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-stop-"));
    set = await writeTinySet(root);
  });
  after(() => rm(root, { recursive: true }));

  /** Waits until something is so; fails when the call ends before. */
  async function until(call: Call, isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      assert.equal(call.process.exitCode, null, "the call ends before it can be stopped");
      await setTimeout(5);
    }
  }

  /** Sends a signal and waits for the end, which has to come soon and with one sentence after the notice. */
  async function stop(call: Call, signal: NodeJS.Signals, code: number): Promise<Outcome> {
    const start = performance.now();
    call.process.kill(signal);
    const outcome = await call.ended;
    const milliseconds = performance.now() - start;
    assert.ok(milliseconds < patience, `${signal} was answered after ${milliseconds.toFixed(0)} ms`);
    assert.equal(outcome.code, code, outcome.stderr);
    assert.equal(outcome.stdout, "");
    const [notice, reason, ...more] = outcome.stderr.trim().split("\n");
    assert.match(notice ?? "", /^sfr: stopping after the checkpoint/);
    assert.match(reason ?? "", /^sfr: .*stopped/);
    assert.deepEqual(more, []);
    return outcome;
  }

  it("in a long step leaves the last whole step, and the run goes on to the same bits", async () => {
    const settings = parse(await readFile(set.config, "utf8")) as Record<string, unknown>;
    const config = join(root, "long.yaml");
    // One thread needs several seconds for a step of this size.
    const long = {
      ...settings,
      patch: [64, 64, 64],
      segmenter: { filters: 16 },
      retrain: { steps: 2, labelledBatch: 6 },
      predict: { stride: [64, 64, 64] },
      arms: [{ method: "labelled-only" }],
    };
    await writeFile(config, stringify(long));
    const [reference, out] = [join(root, "reference"), join(root, "stopped")];
    const start = (folder: string): Call =>
      startSfr("run", config, "--out", folder, "--quiet", "--threads", "1");
    // With one thread each, the run that is not stopped goes beside the other.
    const whole = start(reference).ended;
    const checkpoint = join(out, "arms", arm, "checkpoint.safetensors");
    const stepsDone = () => readEvents(join(out, "events.jsonl")).map(({ step }) => step);

    const first = start(out);
    await until(first, () => stepsDone().length === 1);
    await stop(first, "SIGINT", 130);
    assert.deepEqual(stepsDone(), [1]);
    assert.equal((await readSafetensorsHeader(checkpoint)).metadata.step, "1");
    assert.equal(readRunRecord(out)?.status, "stopped");
    assert.equal(existsSync(join(out, "lock")), false);
    const bytes = await readFile(checkpoint);

    const second = start(out);
    await until(second, () => readRunRecord(out)?.stages.at(-1)?.status === "running");
    // Somewhere in the second step.
    await setTimeout(500);
    await stop(second, "SIGTERM", 143);
    assert.deepEqual(stepsDone(), [1]);
    assert.deepEqual(await readFile(checkpoint), bytes, "the second step was not finished");

    const last = await start(out).ended;
    assert.equal(last.code, 0, last.stderr);
    assert.equal((await whole).code, 0);
    assert.deepEqual(await differences(reference, out), []);
  });

  it("while phantoms are made leaves no half data set", async () => {
    const out = join(root, "demo");
    const call = startSfr("demo", "--out", out, "--quiet");
    await until(call, () => existsSync(join(out, "data", "images", "phantom_000.nii.gz")));
    await stop(call, "SIGINT", 130);
    const files = await readdir(join(out, "data"), { recursive: true });
    assert.deepEqual(
      files.filter((name) => /\.tmp$|phantom\.json/.test(name)),
      [],
    );
  });
});
