import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { writeNiftiImage, writeNiftiLabels } from "../../src/data/nifti.js";
import { generatePhantom } from "../../src/data/phantom.js";
import { type Outcome, sfr } from "./sfr.js";

/** Byte of the first voxel in the files that the project writes. */
const firstVoxel = 352;

/** Changes the unpacked bytes of a .nii.gz file. */
async function patchFile(path: string, change: (bytes: Buffer) => Buffer | undefined): Promise<void> {
  const bytes = gunzipSync(await readFile(path));
  await writeFile(path, gzipSync(change(bytes) ?? bytes));
}

describe("sfr, bad input", () => {
  let root = "";
  let data = "";
  let config = "";
  const out = (): string => join(root, "out");

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-bad-"));
    const good = join(root, "good");
    for (const folder of ["images", "labels", "imagesTs", "labelsTs"])
      await mkdir(join(good, folder), { recursive: true });
    for (const [index, part] of ["", "", "Ts", "Ts"].entries()) {
      const { id, image, label } = generatePhantom(index, 1, [24, 24, 24]);
      await writeNiftiImage(join(good, `images${part}`, `${id}.nii.gz`), image);
      await writeNiftiLabels(join(good, `labels${part}`, `${id}.nii.gz`), label, image);
    }
    config = join(root, "c.yaml");
    const text = "name: bad\ndata: {root: x, labelled: 2, unlabelled: 0}\npatch: [16, 16, 16]\n";
    await writeFile(
      config,
      `${text}retrain: {steps: 1}\nsegmenter: {filters: 1}\narms: [{method: labelled-only}]\n`,
    );
  });
  beforeEach(async () => {
    await rm(out(), { recursive: true, force: true });
    data = join(root, "data");
    await rm(data, { recursive: true, force: true });
    await cp(join(root, "good"), data, { recursive: true });
  });
  after(() => rm(root, { recursive: true }));

  const run = (): Promise<Outcome> => sfr("run", config, "--data", data, "--out", out(), "--quiet");
  const image = (): string => join(data, "images", "phantom_000.nii.gz");
  const label = (): string => join(data, "labels", "phantom_000.nii.gz");

  async function refuses(outcome: Outcome, code: number, message: RegExp): Promise<void> {
    assert.equal(outcome.code, code, outcome.stderr);
    assert.equal(outcome.stdout, "");
    assert.match(outcome.stderr, message);
    assert.equal(outcome.stderr.trimEnd().split("\n").length, 1, outcome.stderr);
    const left = await readdir(out(), { recursive: true }).catch(() => [] as string[]);
    assert.deepEqual(
      left.filter((name) => /\.tmp$|\.(safetensors|nii\.gz|html|png)$/.test(name)),
      [],
      "no half-written file and no result",
    );
  }

  it("a training image that is cut short: code 3", async () => {
    const bytes = await readFile(image());
    await writeFile(image(), bytes.subarray(0, bytes.length / 2));
    await refuses(await run(), 3, /phantom_000\.nii\.gz: .*gzip data that end too early/);
  });

  it("a wrong magic: code 3", async () => {
    await patchFile(image(), (bytes) => bytes.fill("xx", 344, 346));
    await refuses(await run(), 3, /phantom_000\.nii\.gz: expected a NIfTI-1 header, received another file/);
  });

  it("NaN voxels: code 3", async () => {
    await patchFile(image(), (bytes) => {
      bytes.writeFloatLE(Number.NaN, firstVoxel + 4 * 7);
      return undefined;
    });
    await refuses(
      await run(),
      3,
      /phantom_000\.nii\.gz: expected finite numbers .* NaN at voxel \(7, 0, 0\)/,
    );
  });

  it("a label of another shape: code 3", async () => {
    const other = generatePhantom(0, 1, [24, 24, 25]);
    await writeNiftiLabels(label(), other.label, other.image);
    await refuses(
      await run(),
      3,
      /labels\/phantom_000\.nii\.gz: expected 24 x 24 x 24 voxels .*24 x 24 x 25/,
    );
  });

  it("label ids that are no labels: code 3", async () => {
    await cp(image(), label());
    await refuses(
      await run(),
      3,
      /labels\/phantom_000\.nii\.gz: expected whole numbers 0\.\.65535|expected 2 to 255 classes/,
    );
  });

  it("a test case with a label id that training does not know: that case fails, code 4", async () => {
    await patchFile(join(data, "labelsTs", "phantom_002.nii.gz"), (bytes) =>
      bytes.fill(9, firstVoxel, firstVoxel + 1),
    );
    const { code, stdout, stderr } = await run();
    assert.equal(code, 4, stderr);
    assert.match(
      stdout,
      /failed: phantom_002: .*expected label ids 0, 1, 2, received 9 at voxel \(0, 0, 0\)/,
    );
    const summary = JSON.parse(await readFile(join(out(), "summary.json"), "utf8")) as {
      arms: Record<string, { metric_per_case: { id: string }[] }>;
    };
    const scored = Object.values(summary.arms).map((arm) => arm.metric_per_case.map(({ id }) => id));
    assert.deepEqual(scored, [["phantom_003"]], "the other case is scored");
  });

  it("a file that cannot be read: code 3", async () => {
    await rm(image());
    await symlink(join(root, "nowhere"), image());
    await refuses(await run(), 3, /phantom_000\.nii\.gz: expected a readable .*ENOENT|nothing at this path/);
  });

  it("a folder that is no data set: code 3", async () => {
    await rm(join(data, "images"), { recursive: true });
    await refuses(await run(), 3, /data: expected a data set/);
    assert.deepEqual(
      await readdir(root).then((names) => names.includes("out")),
      false,
      "no run folder is made",
    );
  });

  it("an unknown key in the configuration: code 2", async () => {
    const wrong = join(root, "wrong.yaml");
    await writeFile(wrong, (await readFile(config, "utf8")).replace("retrain", "retrian"));
    await refuses(
      await sfr("run", wrong, "--out", out()),
      2,
      /wrong\.yaml:4: .*'retrian'; did you mean 'retrain'\?/,
    );
  });

  it("weights that are none: code 3", async () => {
    const weights = join(root, "w.safetensors");
    await writeFile(weights, "no weights at all");
    await refuses(
      await sfr("predict", image(), "--weights", weights, "--out", out()),
      3,
      /expected a header .* in .*w\.safetensors/,
    );
  });

  it("inspect shows NaN voxels instead of refusing them", async () => {
    await patchFile(image(), (bytes) => {
      bytes.writeFloatLE(Number.NaN, firstVoxel);
      return undefined;
    });
    const { code, stdout } = await sfr("inspect", image(), "--json");
    assert.equal(code, 0);
    assert.equal((JSON.parse(stdout) as Record<string, unknown>)["not finite"], 1);
  });
});
