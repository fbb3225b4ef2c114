/** --device of commands that train: refused by word, auto, and steps on the launch shim in the place of a card. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse, stringify } from "yaml";
import { exitCodes } from "../../src/cli/command.js";
import { deviceNamed } from "../../src/cli/device-flags.js";
import { UsageError } from "../../src/errors.js";
import { writeTinySet } from "../e2e/tiny-set.js";
import { sfr } from "./sfr.js";

const shim = join(import.meta.dirname, "..", "..", "..", "build", "Release", "libsfr_shim.so");
let root = "";
let config = "";

before(async () => {
  root = await mkdtemp(join(tmpdir(), "sfr-device-"));
  const tiny = await writeTinySet(root);
  const settings = parse(await readFile(tiny.config, "utf8")) as Record<string, unknown>;
  config = join(root, "device.yaml");
  const small = { segmenter: { filters: 1 }, retrain: { steps: 2, labelledBatch: 1, unlabelledBatch: 1 } };
  await writeFile(config, stringify({ ...settings, ...small, arms: [{ method: "labelled-only" }] }));
});

after(() => rm(root, { recursive: true }));

/** Two steps of a training with the device library at `library`. */
function retrain(library: string, out: string, ...words: string[]) {
  process.env.SFR_CUDA_LIBRARY = library;
  return sfr("retrain", config, "--out", join(root, out), "--skip-check", ...words);
}

/** The losses of a run's steps. */
async function losses(out: string): Promise<number[]> {
  const lines = (await readFile(join(root, out, "events.jsonl"), "utf8")).trim().split("\n");
  return lines.flatMap((line) => {
    const { loss } = JSON.parse(line) as { loss?: number };
    return loss === undefined ? [] : [loss];
  });
}

test("--device takes cpu, auto and a card", () => {
  assert.equal(deviceNamed("auto"), "auto");
  assert.deepEqual(deviceNamed("cuda"), { cuda: 0 });
  assert.deepEqual(deviceNamed("cuda:3"), { cuda: 3 });
  assert.throws(() => deviceNamed("gpu"), UsageError);
});

test("--device cuda without the library fails by word and leaves no run", async () => {
  const { code, stderr } = await retrain("/nowhere/libsfr_cuda.so", "none", "--device", "cuda");
  assert.equal(code, exitCodes.device);
  assert.match(
    stderr,
    /cuda: expected libsfr_cuda at \/nowhere\/libsfr_cuda\.so, received .+; build it with nvcc/,
  );
  assert.ok(!existsSync(join(root, "none")));
});

test("--device auto trains on the CPU where there is no card, and says why", async () => {
  const { code, stderr } = await retrain("/nowhere/libsfr_cuda.so", "cpu", "--device", "auto");
  assert.equal(code, exitCodes.ok, stderr);
  assert.match(stderr, /--device auto: the CPU is used; cuda: expected libsfr_cuda/);
  assert.match(stderr, /device: cpu/);
});

const skip = existsSync(shim) ? false : "the launch shim is not built here";

test("--device cuda: the losses of a training are those of the CPU", { skip }, async () => {
  const { code, stderr } = await retrain(shim, "shim", "--device", "cuda", "--device-memory", "500MB");
  assert.equal(code, exitCodes.ok, stderr);
  assert.match(stderr, /device: shim:0 launch shim/);
  const run = JSON.parse(await readFile(join(root, "shim", "run.json"), "utf8")) as { device: string };
  assert.equal(run.device, "shim:0 launch shim");
  const [expected, received] = [await losses("cpu"), await losses("shim")];
  assert.equal(received.length, 2);
  // Sums run in another order; one step of training between the two losses.
  for (const [i, loss] of received.entries())
    assert.ok(Math.abs(loss - (expected[i] ?? 0)) < 1e-4, `${received}`);
});
