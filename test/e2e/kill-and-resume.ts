import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { writePhantomDataset } from "../../src/data/phantom.js";
import { RandomStream } from "../../src/graph/random.js";
import { type RunRecord, readRunRecord } from "../../src/run/run-folder.js";
import { type Call, type Outcome, startSfr } from "../cli/sfr.js";
import { differences } from "./run-comparison.js";
import { writeTinySet } from "./tiny-set.js";

/** Stages that are killed, by what people call them. A stage's moments go on until the next stage begins. */
const stages = {
  data: "prepare",
  "fine-tuning": "finetune",
  "pseudo-labels": "pseudo-label",
  "re-training with a teacher": "retrain/sfr-random-sam",
  "SFR+": "exchange/sfr-plus-random-sam",
  prediction: "predict/sfr-random-sam",
  "evaluation and report": "evaluate/sfr-random-sam",
} as const;

/** Pause between two looks at a run folder, milliseconds; stages take some hundred. */
const lookEvery = 1;

/** A moment that comes too late falls into the next stage and does not count; so many are tried for `count` hits. */
const attemptsFor = (count: number): number => 2 * count + 3;

/**
 * Tests that a run ends in the same bits when it is killed (SIGKILL) at random moments of each stage. One run folder is
 * killed once in each stage, goes on and is compared at its end; so many folders as there are moments.
 */
export function testKillAndResume(momentsPerStage: number): void {
  const seed = Number(process.env.SFR_KILL_SEED ?? Date.now() % 1_000_000);
  const random = new RandomStream(seed, 0, "kill");
  describe(`kill -9 at ${momentsPerStage} random moments of each stage`, () => {
    let root = "";
    before(async () => {
      root = await mkdtemp(join(tmpdir(), "sfr-kill-"));
    });
    after(() => rm(root, { recursive: true }));

    it("leaves a run that goes on to the same bits", async (t) => {
      t.diagnostic(`moments of SFR_KILL_SEED=${seed}`);
      const { config } = await writeTinySet(root);
      const reference = join(root, "reference");
      const start = (out: string): Call => startSfr("run", config, "--out", out, "--quiet");
      const spans = await watchStages(start(reference), reference);
      const missing = new Map<string, number>(Object.values(stages).map((name) => [name, momentsPerStage]));
      for (let round = 0; round < attemptsFor(momentsPerStage) && missing.size > 0; round += 1) {
        const out = join(root, `round-${round}`);
        const moments: string[] = [];
        for (const [name, count] of [...missing]) {
          const moment = random.uniform() * (spans.get(name) ?? 0);
          moments.push(`${name} + ${moment.toFixed(0)} ms`);
          if (!(await killIn(name, moment, start(out), out))) {
            // The stage is over sooner than in the reference, as `prepare` is that knows its files from there.
            spans.set(name, moment);
            continue;
          }
          if (count === 1) missing.delete(name);
          else missing.set(name, count - 1);
        }
        const what = `seed ${seed}, killed at ${moments.join(", ")}`;
        requireSuccess(await start(out).ended, what);
        assert.deepEqual(await differences(reference, out), [], what);
        await rm(out, { recursive: true });
      }
      assert.deepEqual([...missing], [], "stages that too few moments have hit");
    });

    it("leaves phantoms that are made anew to the same bits", async (t) => {
      t.diagnostic(`moments of SFR_KILL_SEED=${seed}`);
      const [whole, out] = [join(root, "phantoms"), join(root, "demo")];
      const data = join(out, "data");
      const startTime = performance.now();
      await writePhantomDataset(whole, { cases: 16, labelled: 2, unlabelled: 10, test: 4, seed: 1 });
      const span = performance.now() - startTime;
      const moments: string[] = [];
      let missing = momentsPerStage;
      for (let attempt = 0; attempt < attemptsFor(momentsPerStage) && missing > 0; attempt += 1) {
        const moment = random.uniform() * span;
        moments.push(`${moment.toFixed(0)} ms`);
        const call = startDemo(out);
        while (!existsSync(data) && call.process.exitCode === null) await setTimeout(lookEvery);
        await setTimeout(moment);
        call.process.kill("SIGKILL");
        await call.ended;
        if (existsSync(join(data, "labelsTs", "phantom_015.nii.gz"))) await rm(out, { recursive: true });
        else missing -= 1;
      }
      assert.equal(missing, 0, "too few moments have hit");
      const what = `seed ${seed}, killed at ${moments.join(", ")}`;
      requireSuccess(await startDemo(out).ended, what);
      assert.deepEqual(await differences(whole, data), ["phantom.json: only in the second"], what);
    });
  });
}

/** The demo with its phantoms and next to nothing after them. */
function startDemo(out: string): Call {
  const sizes = ["--patch", "48,48,48", "--sam-canvas", "352", "--segmenter-filters", "1"];
  const steps = ["--finetune-steps", "1", "--retrain-steps", "1", "--predict-stride", "48,48,48"];
  const cases = ["--data-labelled", "1", "--data-unlabelled", "1", "--data-test", "1"];
  return startSfr("demo", "--out", out, "--quiet", ...sizes, ...steps, ...cases);
}

/** Milliseconds that each stage lasts until the next one begins or the run ends. */
async function watchStages(call: Call, out: string): Promise<Map<string, number>> {
  const begun = new Map<string, number>();
  await watch(call, out, ({ stages: records }) => {
    const name = records.at(-1)?.name;
    if (name !== undefined && !begun.has(name)) begun.set(name, performance.now());
    return false;
  });
  requireSuccess(await call.ended, "the run that is not killed");
  const times = [...begun.values(), performance.now()];
  return new Map(
    [...begun.keys()].map((name, index) => [name, (times[index + 1] ?? 0) - (times[index] ?? 0)]),
  );
}

/**
 * Kills a run some milliseconds after a stage has begun in it.
 *
 * @returns whether no later stage had begun and the run had not ended
 */
async function killIn(stage: string, moment: number, call: Call, out: string): Promise<boolean> {
  await watch(call, out, ({ stages: records }) =>
    records.some(({ name, status }) => name === stage && status === "running"),
  );
  await setTimeout(moment);
  call.process.kill("SIGKILL");
  await call.ended;
  return call.process.signalCode === "SIGKILL" && readRunRecord(out)?.stages.at(-1)?.name === stage;
}

/** Looks at the record that this call writes until `isEnough` says so or the call ends. */
async function watch(call: Call, out: string, isEnough: (record: RunRecord) => boolean): Promise<void> {
  const startTime = Date.now();
  while (call.process.exitCode === null) {
    const record = readRunRecord(out);
    // What an earlier start has left says nothing of this one.
    if (record !== undefined && Date.parse(record.updated) >= startTime && isEnough(record)) return;
    await setTimeout(lookEvery);
  }
}

function requireSuccess({ code, stderr }: Outcome, what: string): void {
  assert.equal(code, 0, `${what}: ${stderr}`);
}
