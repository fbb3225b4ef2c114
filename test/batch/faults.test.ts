import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import type { BatchRecord } from "../../src/batch/manifest.js";
import { readImage, readLabels } from "../../src/data/volume-file.js";
import { RandomStream } from "../../src/graph/random.js";
import { type Call, startSfr } from "../cli/sfr.js";
import { makeTinyModel, writeVolumes } from "./tiny-model.js";

const volumes = 200;

/** What can be wrong with a volume, and what the message says of it. */
const faults: readonly (readonly [name: string, spoil: (path: string) => Promise<void>, message: RegExp])[] =
  [
    [
      "truncated",
      async (path) => writeFile(path, (await readFile(path)).subarray(0, 900)),
      /cut short|unexpected end/i,
    ],
    ["wrong shape", (path) => change(path, (file) => void file.writeInt16LE(99, 42)), /received only|fewer/],
    [
      "two volumes in one file",
      (path) => change(path, twoVolumes),
      /expected 1 channels as the network was trained on, received 2|expected \d+ voxels/,
    ],
    [
      "NaN",
      (path) => change(path, (file) => void file.writeFloatLE(Number.NaN, 352 + 400)),
      /finite numbers.*NaN/,
    ],
    ["no NIfTI", (path) => writeFile(path, gzipSync("no volume at all".repeat(40))), /NIfTI/],
    [
      "a link to nowhere",
      (path) => rm(path).then(() => symlink("nowhere.nii.gz", path)),
      /nothing at this path/,
    ],
    [
      "a name twice",
      async (path) => writeFile(path.replace(".gz", ""), gunzipSync(await readFile(path))),
      /one volume of this name/,
    ],
  ];

async function change(path: string, edit: (file: Buffer) => void): Promise<void> {
  const file = gunzipSync(await readFile(path));
  edit(file);
  await writeFile(path, gzipSync(file));
}

/** dim[0] = 4 and dim[4] = 2. */
function twoVolumes(file: Buffer): void {
  file.writeInt16LE(4, 40);
  file.writeInt16LE(2, 48);
}

/** The lines of the one machine that works; empty before the first. */
async function manifestOf(out: string): Promise<string> {
  const names = await readdir(join(out, "manifest")).catch(() => []);
  const name = names.find((file) => file.endsWith(".jsonl"));
  return name === undefined ? "" : readFile(join(out, "manifest", name), "utf8");
}

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "sfr-faults-"));
});
after(() => rm(root, { recursive: true }));

it(`${volumes} volumes with faults, workers killed at random moments: every good case once, every bad one named`, async (t) => {
  const seed = Number(process.env.SFR_KILL_SEED ?? Date.now() % 1_000_000);
  t.diagnostic(`moments of SFR_KILL_SEED=${seed}`);
  const random = new RandomStream(seed, 0, "kill");
  const [input, out] = [join(root, "in"), join(root, "out")];
  const model = await makeTinyModel(root);
  const ids = await writeVolumes(input, volumes);
  // Every ninth volume is spoilt.
  const bad = new Map(ids.filter((_, i) => i % 9 === 4).map((id, i) => [id, faults[i % faults.length]]));
  for (const [id, fault] of bad) await fault?.[1](join(input, `${id}.nii.gz`));

  // Without pictures, which would take most of the time of volumes so small.
  const weights = join(model, "finetune", "sam.safetensors");
  const words = ["predict", input, "--weights", weights, "--out", out, "--threads", "1", "--json", "--quiet"];
  const start = (): Call => startSfr(...words);
  const survivor = start();
  const kills: string[] = [];
  for (let worker = start(); survivor.process.exitCode === null; worker = start()) {
    const hasWorked = async () => (await manifestOf(out)).includes(`:${worker.process.pid}"`);
    while (survivor.process.exitCode === null && !(await hasWorked())) await setTimeout(10);
    const moment = 300 * random.uniform();
    await Promise.race([setTimeout(moment), survivor.ended]);
    // The last one may end by itself, and then sweeps up.
    if (survivor.process.exitCode === null) {
      worker.process.kill("SIGKILL");
      kills.push(`${moment.toFixed(0)} ms`);
    }
    await worker.ended;
  }
  const { code, stdout, stderr } = await survivor.ended;
  const what = `seed ${seed}, killed after ${kills.join(", ")}`;
  assert.equal(code, 4, `${what}: ${stderr}`);
  assert.ok(kills.length >= 2, `${what}: too few kills to prove anything`);

  const records = (await manifestOf(out))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as BatchRecord);
  const good = ids.filter((id) => !bad.has(id));
  const done = records.filter(({ status }) => status === "done").map(({ id }) => id);
  assert.deepEqual(done.sort(), good, what);
  assert.ok(new Set(records.map(({ worker }) => worker)).size > 1, `${what}: one worker did it all`);
  for (const [id, fault] of bad) {
    const errors = records.filter((record) => record.id === id).map(({ error = "" }) => error);
    assert.match(errors.at(-1) ?? "none", fault?.[2] ?? /^$/, `${id}, ${fault?.[0]}`);
    assert.ok(errors.at(-1)?.includes(id), `${id} is not named: ${errors.at(-1)}`);
  }
  const { written, failures } = JSON.parse(stdout) as { written: string[]; failures: object };
  assert.deepEqual([written.length, Object.keys(failures).length], [good.length, bad.size]);

  const visible = (await readdir(out)).filter((name) => name.endsWith(".nii.gz") && !name.startsWith("."));
  assert.deepEqual(
    visible.sort(),
    good.map((id) => `${id}.nii.gz`),
  );
  for (const id of good) {
    const labels = await readLabels(join(out, `${id}.nii.gz`));
    const image = await readImage(join(input, `${id}.nii.gz`));
    assert.deepEqual([labels.shape, labels.grid?.affine], [image.shape, image.grid?.affine]);
  }
  // A worker killed while the survivor was ending leaves a claim that the next run has to sweep up.
  assert.equal((await start().ended).code, 4, what);
  // Hidden ones were in the making when their process was killed.
  const claims = (await readdir(join(out, "manifest", "claims"))).filter((name) => !name.startsWith("."));
  assert.deepEqual(claims, [], "claims are left");
});
