import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { BatchRecord } from "../../src/batch/manifest.js";
import { type Call, sfr, startSfr } from "../cli/sfr.js";
import { makeTinyModel, writeVolumes } from "./tiny-model.js";

/** So many that every process has begun before the others have done all. */
const volumes = 60;

describe("--workers", () => {
  let [root, input, weights] = ["", "", ""];
  let ids: string[] = [];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-workers-"));
    weights = join(await makeTinyModel(root), "finetune", "sam.safetensors");
    input = join(root, "in");
    ids = await writeVolumes(input, volumes);
  });
  after(() => rm(root, { recursive: true }));

  const words = (out: string, ...more: string[]): string[] => [
    ...["predict", input, "--weights", weights, "--out", join(root, out), "--threads", "2", ...more],
  ];
  const recordsOf = async (out: string): Promise<BatchRecord[]> => {
    const folder = join(root, out, "manifest");
    const name = (await readdir(folder).catch(() => [])).find((file) => file.endsWith(".jsonl"));
    const text = name === undefined ? "" : await readFile(join(folder, name), "utf8");
    return text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as BatchRecord);
  };
  /** Process ids of those that have finished a case. */
  const workersOf = async (out: string): Promise<number[]> => [
    ...new Set((await recordsOf(out)).map(({ worker }) => Number(worker.split(":").at(-1)))),
  ];
  /** Waits until two processes have finished a case. @returns the one that the call has started */
  const helperOf = async (call: Call, out: string): Promise<number> => {
    for (;;) {
      const helper = (await workersOf(out)).find((pid) => pid !== call.process.pid);
      if (helper !== undefined) return helper;
      assert.equal(call.process.exitCode, null, "all was done before the helper had finished a case");
      await setTimeout(10);
    }
  };
  const isAlive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  const claimsIn = async (out: string): Promise<string[]> => readdir(join(root, out, "manifest", "claims"));

  it("share the cases, with one progress line and the labels of one process", async () => {
    assert.equal((await sfr(...words("one", "--quiet"))).code, 0);
    const { code, stdout, stderr } = await sfr(...words("two", "--workers", "2", "--json"));
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { labelled: number }).labelled, volumes);
    const records = await recordsOf("two");
    assert.deepEqual(records.map(({ id }) => id).sort(), ids);
    assert.equal((await workersOf("two")).length, 2);
    for (const id of ids)
      assert.deepEqual(
        await readFile(join(root, "two", `${id}.nii.gz`)),
        await readFile(join(root, "one", `${id}.nii.gz`)),
      );
    assert.match(stderr, /predict: 60 cases labelled here by 2 processes, .*the engine worked/);
    assert.equal(stderr.match(/predict: done/g)?.length, 1);
  });

  it("stop together, in order, on SIGTERM of the one that was called", async () => {
    const call = startSfr(...words("stopped", "--workers", "2"));
    const helper = await helperOf(call, "stopped");
    call.process.kill("SIGTERM");
    const { code, stderr } = await call.ended;
    assert.equal(code, 143, stderr);
    assert.ok(!isAlive(helper), "the helper goes on");
    assert.ok((await recordsOf("stopped")).length < volumes, "it was stopped too late");
    assert.deepEqual(await claimsIn("stopped"), []);
  });

  it("end when the one that was called is killed", async () => {
    const call = startSfr(...words("killed", "--workers", "2"));
    const helper = await helperOf(call, "killed");
    call.process.kill("SIGKILL");
    await call.ended;
    for (let i = 0; isAlive(helper); i++) {
      assert.ok(i < 500, "the helper goes on");
      await setTimeout(10);
    }
    assert.ok((await recordsOf("killed")).length < volumes, "it was killed too late");
  });

  it("do the cases of one that is killed", async () => {
    const call = startSfr(...words("survived", "--workers", "2"));
    process.kill(await helperOf(call, "survived"), "SIGKILL");
    const { code, stderr } = await call.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /1 of 2 processes ended early; the others did their cases/);
    const done = (await recordsOf("survived")).map(({ id }) => id);
    assert.deepEqual(done.sort(), ids);
  });

  it("--gpus: refuses what it cannot mean, and cards that are not there", async () => {
    process.env.SFR_CUDA_LIBRARY = "/nowhere/libsfr_cuda.so";
    const call = async (code: number, message: RegExp, ...more: string[]) => {
      const outcome = await sfr(...words("gpus", ...more));
      assert.equal(outcome.code, code, outcome.stderr);
      assert.match(outcome.stderr, message);
    };
    await call(
      2,
      /--gpus: expected different numbers of devices such as 0,1, received '0,0'/,
      "--gpus",
      "0,0",
    );
    await call(2, /--gpus: expected no --device beside it/, "--gpus", "0", "--device", "cpu");
    await call(5, /cuda: expected libsfr_cuda at \/nowhere/, "--gpus", "0,1");
    // No machine has that many.
    await call(5, /expected CUDA device 98/, "--gpus", "98,99", "--engine", "onnx");
  });
});
