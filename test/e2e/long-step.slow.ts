import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { readEvents } from "../../src/io/event-log.js";
import { readRunRecord } from "../../src/run/run-folder.js";
import { startSfr } from "../cli/sfr.js";
import { writeTinySet } from "./tiny-set.js";

/** So long the second step runs before it is stopped, milliseconds: it is cancelled inside, not between steps. */
const inside = 3000;
/** A stop is answered within this many milliseconds. */
const patience = 2000;

it("a step of ViT-B that takes about ten seconds is stopped within two", async () => {
  const root = await mkdtemp(join(tmpdir(), "sfr-long-step-"));
  try {
    const { data } = await writeTinySet(root);
    const [config, out] = [join(root, "long.yaml"), join(root, "out")];
    const settings = {
      name: "long",
      data: { root: data, labelled: 2, unlabelled: 0 },
      patch: [16, 16, 16],
      sam: { size: "vit_b", canvas: 1024, train: "lora" },
      finetune: { steps: 9, batch: 1 },
      arms: [{ method: "sam" }],
    };
    await writeFile(config, JSON.stringify(settings));
    const call = startSfr("finetune", config, "--out", out, "--quiet", "--threads", "1");
    const stepsDone = () => readEvents(join(out, "events.jsonl")).map(({ step }) => step);
    while (stepsDone().length < 1) {
      assert.equal(call.process.exitCode, null, "the call ends before it can be stopped");
      await setTimeout(20);
    }
    await setTimeout(inside);
    const start = performance.now();
    call.process.kill("SIGINT");
    const { code, stderr } = await call.ended;
    const milliseconds = performance.now() - start;
    assert.equal(code, 130, stderr);
    assert.deepEqual(stepsDone(), [1], "the step was over before it was stopped");
    assert.ok(milliseconds < patience, `SIGINT was answered after ${milliseconds.toFixed(0)} ms`);
    assert.equal(readRunRecord(out)?.status, "stopped");
    assert.ok(existsSync(join(out, "finetune", "checkpoint.safetensors")));
  } finally {
    await rm(root, { recursive: true });
  }
});
