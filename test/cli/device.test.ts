/** --device and --device-memory of commands: refused by word, auto, and work on the launch shim in the place of a card. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parse, stringify } from "yaml";
import { exitCodes } from "../../src/cli/command.js";
import { deviceNamed } from "../../src/cli/device-flags.js";
import { readImage } from "../../src/data/volume-file.js";
import { UsageError } from "../../src/errors.js";
import { makeTinyModel, writeVolumes } from "../batch/tiny-model.js";
import { writeTinySet } from "../e2e/tiny-set.js";
import { shimLibrary as shim, skipWithoutShim as skip } from "../shim.js";
import { sfr } from "./sfr.js";

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

test("--device-memory without a device is refused", async () => {
  const { code, stderr } = await retrain(shim, "none", "--device-memory", "500MB");
  assert.equal(code, exitCodes.usage);
  assert.match(stderr, /--device-memory: expected --device cuda, cuda:N or auto with it, received the CPU/);
});

test("--device auto trains on the CPU where there is no card, and says why", async () => {
  const { code, stderr } = await retrain("/nowhere/libsfr_cuda.so", "cpu", "--device", "auto");
  assert.equal(code, exitCodes.ok, stderr);
  assert.match(stderr, /--device auto: the CPU is used; cuda: expected libsfr_cuda/);
  assert.match(stderr, /device: cpu/);
});

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

/** Runs a command that labels volumes on the CPU and on the shim, and compares a file of probabilities. */
async function assertAlike(words: readonly string[], file: string): Promise<void> {
  process.env.SFR_CUDA_LIBRARY = shim;
  const maps: Float32Array[] = [];
  for (const [device, used, ...more] of [
    ["cpu", /native engine, cpu/],
    ["cuda", /native engine, shim:0 launch shim/, "--device-memory", "500MB"],
  ] as const) {
    const out = join(root, `${words[0]}-${device}`);
    const flags = ["--maps", "probabilities", "--device", device, ...more];
    const { code, stderr } = await sfr(...words, "--out", out, ...flags);
    assert.equal(code, exitCodes.ok, stderr);
    assert.match(stderr, used);
    maps.push((await readImage(join(out, file))).data);
  }
  const [expected = new Float32Array(), received = new Float32Array()] = maps;
  assert.ok(new Set(expected).size > 10, "a map of one value proves nothing");
  assert.equal(received.length, expected.length);
  // Probabilities are kept in steps of 1/255; where sums run in another order one may be rounded to the next step.
  const largest = expected.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - (received[i] ?? 0))),
    0,
  );
  assert.ok(largest <= 1.01 / 255, `${largest}`);
}

test("predict --device cuda: windows and their sums are those of the CPU", { skip }, async () => {
  const weights = join(root, "cpu", "arms", "v-net-labelled-only", "segmenter.safetensors");
  const image = join(root, "data", "imagesTs", "phantom_005.nii.gz");
  const words = ["predict", image, "--weights", weights, "--stride", "16,16,16"];
  await assertAlike(words, join("probabilities", "phantom_005", "7.nii.gz"));
});

test("pseudo-label --device cuda: stitch, SAM and un-stitch are those of the CPU", { skip }, async () => {
  const folder = join(root, "sam");
  const model = await makeTinyModel(folder);
  await writeVolumes(join(folder, "cohort"), 1);
  await assertAlike(
    ["pseudo-label", "--model", model, "--input", join(folder, "cohort")],
    join("probabilities", "case_000", "4.nii.gz"),
  );
});

test("--gpus 0,1: a process on each device, which share the volumes", { skip }, async () => {
  const folder = join(root, "gpus");
  const model = await makeTinyModel(folder);
  // A process keeps three in work.
  const ids = await writeVolumes(join(folder, "cohort"), 5);
  process.env.SFR_CUDA_LIBRARY = shim;
  const label = async (out: string, ...flags: string[]) => {
    const words = ["--model", model, "--input", join(folder, "cohort"), "--out", join(folder, out)];
    const { code, stderr } = await sfr("pseudo-label", ...words, ...flags);
    assert.equal(code, exitCodes.ok, stderr);
    return stderr;
  };
  await label("cpu");
  const told = await label("gpus", "--gpus", "0,1", "--device-memory", "500MB");
  for (const device of ["shim:0", "shim:1"])
    assert.ok(told.includes(`native engine, ${device} launch shim`), told);
  assert.match(told, /5 cases labelled here by 2 processes/);
  const manifest = join(folder, "gpus", "manifest");
  const [lines = ""] = (await readdir(manifest)).filter((file) => file.endsWith(".jsonl"));
  const records = (await readFile(join(manifest, lines), "utf8")).trim().split("\n");
  const workers = records.map((line) => (JSON.parse(line) as { worker: string }).worker);
  assert.equal(new Set(workers).size, 2, "one process has done all");
  for (const id of ids) {
    const [expected, received] = await Promise.all(
      ["cpu", "gpus"].map(async (out) => (await readImage(join(folder, out, `${id}.nii.gz`))).data),
    );
    // Where two classes are as likely, sums in another order may decide.
    const other = expected?.reduce((count, value, i) => count + (value === received?.[i] ? 0 : 1), 0) ?? 1;
    assert.ok(other <= 2, `${id}: ${other} voxels differ`);
  }
});

test("beyond --device-memory: one sentence with the need and the budget, and no weights", {
  skip,
}, async () => {
  const large = join(root, "large.yaml");
  const settings = parse(await readFile(config, "utf8")) as Record<string, unknown>;
  // Two crops of 16 features each are more than the budget, however much is computed again.
  const crops = { patch: [112, 112, 112], segmenter: { filters: 16 } };
  const retrain = { steps: 2, labelledBatch: 2, unlabelledBatch: 1 };
  await writeFile(large, stringify({ ...settings, ...crops, retrain }));
  process.env.SFR_CUDA_LIBRARY = shim;
  const out = join(root, "large");
  const words = ["--skip-check", "--device", "cuda", "--device-memory", "500MB"];
  const { code, stderr } = await sfr("retrain", large, "--out", out, ...words);
  assert.equal(code, exitCodes.device, stderr);
  const [error = ""] = stderr.split("\n").filter((line) => line.startsWith("sfr: "));
  assert.match(
    error,
    /expected \d{9,} more bytes, received none: \d+ of a budget of 500000000 bytes are in use; use a smaller/,
  );
  const files = await readdir(out, { recursive: true });
  assert.deepEqual(
    files.filter((file) => /safetensors|checkpoint|\.tmp/.test(file)),
    [],
  );
});
