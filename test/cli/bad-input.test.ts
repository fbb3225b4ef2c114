import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { generatePhantom } from "../../src/data/phantom.js";
import { writeImage, writeLabels } from "../../src/data/volume-file.js";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors.js";
import { type Outcome, sfr, sfrWithFileLimit } from "./sfr.js";

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
      await writeImage(join(good, `images${part}`, `${id}.nii.gz`), image);
      await writeLabels(join(good, `labels${part}`, `${id}.nii.gz`), label, image);
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

  const run = (...flags: string[]): Promise<Outcome> =>
    sfr("run", config, "--data", data, "--out", out(), "--quiet", ...flags);
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
    await refuses(await run(), 3, /phantom_000\.nii\.gz: expected a NIfTI header, received another file/);
  });

  it("NaN voxels: code 3", async () => {
    await patchFile(image(), (bytes) => {
      bytes.writeFloatLE(Number.NaN, firstVoxel + 4 * 7);
      return undefined;
    });
    await refuses(await run(), 3, /phantom_000\.nii\.gz: expected finite numbers .* received 1 that are not/);
  });

  it("the same without the check: found while the case is read", async () => {
    await patchFile(image(), (bytes) => {
      bytes.writeFloatLE(Number.NaN, firstVoxel + 4 * 7);
      return undefined;
    });
    await refuses(
      await run("--skip-check"),
      3,
      /phantom_000\.nii\.gz: expected finite numbers .* NaN at voxel \(7, 0, 0\)/,
    );
  });

  it("several faults: each is told, and a case that is there twice is one; code 3", async () => {
    await cp(image(), join(data, "imagesTs", "phantom_003.nii.gz"));
    await patchFile(join(data, "images", "phantom_001.nii.gz"), (bytes) => {
      bytes.writeFloatLE(Number.POSITIVE_INFINITY, firstVoxel);
      return undefined;
    });
    const { code, stderr } = await run();
    assert.equal(code, 3, stderr);
    assert.match(stderr, /phantom_001\.nii\.gz: expected finite numbers/);
    assert.match(
      stderr,
      /imagesTs\/phantom_003\.nii\.gz: expected other voxels than in .*phantom_000\.nii\.gz/,
    );
    assert.match(stderr, /expected training cases without fault, received 2 faults/);
  });

  it("a label of another shape: code 3", async () => {
    const other = generatePhantom(0, 1, [24, 24, 25]);
    await writeLabels(label(), other.label, other.image);
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
      /labels\/phantom_000\.nii\.gz: expected whole numbers 0\.\.65535|expected 2 to 254 classes/,
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

  it("a folder that cannot be opened: code 3", async () => {
    await refuses(
      await sfr("run", config, "--data", join(config, "data"), "--out", out()),
      3,
      /c\.yaml\/data: expected a data set, received nothing at this path/,
    );
    // A part that cannot be opened is not a part that is not there.
    await rm(join(data, "imagesTs"), { recursive: true });
    await symlink("imagesTs", join(data, "imagesTs"));
    await refuses(await run(), 3, /imagesTs: expected a path that can be read, received ELOOP/);
  });

  it("a folder without permission: code 3", {
    skip: process.getuid?.() === 0 && "root may read it",
  }, async () => {
    await chmod(join(data, "imagesTs"), 0);
    await refuses(await run(), 3, /imagesTs: expected a readable folder, received EACCES/);
    await chmod(join(data, "imagesTs"), 0o700);
  });

  it("a run folder that cannot be made: code 3", async () => {
    const words = ["run", config, "--data", data, "--out"];
    await refuses(await sfr(...words, join(config, "out")), 3, /run folder: expected to make .*ENOTDIR/);
    await refuses(
      await sfr(...words, join(root, "o".repeat(256))),
      3,
      /run folder: expected to make .*ENAMETOOLONG/,
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

  it("no unlabelled case where an arm needs one: code 2, before any volume is read", async () => {
    const semi = join(root, "semi.yaml");
    const text = (await readFile(config, "utf8")).replace("unlabelled: 0", "unlabelled: all");
    await writeFile(semi, text.replace("labelled-only", "mean-teacher"));
    await rm(image());
    await symlink(join(root, "nowhere"), image());
    await refuses(
      await sfr("run", semi, "--data", data, "--out", out()),
      2,
      /data\.unlabelled: expected at least one unlabelled case for 'Mean Teacher', received none/,
    );
    assert.equal(existsSync(out()), false);
  });

  it("weights that are none: code 3", async () => {
    const weights = join(root, "w.safetensors");
    await writeFile(weights, "no weights at all");
    await refuses(
      await sfr("predict", "--quiet", image(), "--weights", weights, "--out", out()),
      3,
      /expected a header .* in .*w\.safetensors/,
    );
  });

  it("a disk that is full while a run is written: code 3, and the run goes on later", async () => {
    const words = ["run", config, "--data", data, "--out", out(), "--quiet"];
    // 16 KiB are enough for all records but not for the first checkpoint.
    await refuses(
      await sfrWithFileLimit(32, ...words),
      3,
      /expected to write '.*checkpoint\.safetensors', received a file larger than/,
    );
    const { status } = JSON.parse(await readFile(join(out(), "run.json"), "utf8")) as { status: string };
    assert.equal(status, "failed");
    assert.equal((await sfr(...words)).code, 0);
  });

  it("a disk that is full before anything is written: code 3", async () => {
    const words = ["run", config, "--data", data, "--out", out(), "--quiet"];
    await refuses(await sfrWithFileLimit(0, ...words), 3, /expected to write .*(lock|run\.json).*EFBIG/);
    assert.deepEqual(await readdir(out()), []);
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

describe("sfr, weights that do not fit", () => {
  let root = "";
  let config = "";
  let weights = "";
  const data = (classes: number): string => join(root, `data-${classes}`);
  const words = (classes: number, out: string): string[] => [
    ...[config, "--data", data(classes), "--out", join(root, out), "--quiet"],
  ];
  const sam = (out: string): string => join(root, out, "finetune", "sam.safetensors");

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-weights-"));
    for (const classes of [2, 3]) {
      for (const folder of ["images", "labels", "imagesTs"])
        await mkdir(join(data(classes), folder), { recursive: true });
      const { id, image, label } = generatePhantom(0, 1, [24, 24, 24]);
      await writeImage(join(data(classes), "images", `images-${id}.nii.gz`), image);
      const test = generatePhantom(1, 1, [24, 24, 24]);
      await writeImage(join(data(classes), "imagesTs", `imagesTs-${id}.nii.gz`), test.image);
      const ids = { ...label, data: label.data.map((index) => Math.min(index, classes - 1)) };
      await writeLabels(join(data(classes), "labels", `images-${id}.nii.gz`), ids, image);
    }
    config = join(root, "c.yaml");
    const settings = {
      name: "weights",
      data: { root: "x", labelled: 1, unlabelled: 0 },
      patch: [16, 16, 16],
      sam: { size: "tiny", canvas: 64, train: "lora" },
      finetune: { steps: 1, batch: 1 },
      segmenter: { filters: 1 },
      retrain: { steps: 1 },
      arms: [{ method: "labelled-only" }, { method: "sam" }],
    };
    await writeFile(config, JSON.stringify(settings));
    for (const classes of [2, 3]) {
      const { code, stderr } = await sfr("retrain", ...words(classes, `of-${classes}`));
      assert.equal(code, 0, stderr);
    }
    weights = join(root, "of-3", "arms", "v-net-labelled-only", "segmenter.safetensors");
  });
  after(() => rm(root, { recursive: true }));

  async function refuses(outcome: Outcome, message: RegExp): Promise<void> {
    assert.deepEqual([outcome.code, outcome.stdout], [3, ""], outcome.stderr);
    assert.match(outcome.stderr, message);
    assert.equal(outcome.stderr.trimEnd().split("\n").length, 1, outcome.stderr);
  }

  /** Predicts with a segmenter whose metadata were changed. */
  async function predictWith(entry: string, change: (text: string) => string): Promise<Outcome> {
    const { tensors, metadata } = await readSafetensors(weights);
    const changed = join(root, "changed.safetensors");
    await writeSafetensors(changed, tensors, { ...metadata, [entry]: change(metadata[entry] ?? "") });
    const out = join(root, "labels");
    const outcome = await sfr(
      "predict",
      "--quiet",
      join(data(3), "imagesTs"),
      "--weights",
      changed,
      "--out",
      out,
    );
    assert.equal(existsSync(out), false);
    return outcome;
  }

  it("a LoRA file of another number of classes in the place of the run's own: code 3", async () => {
    await cp(join(root, "of-3"), join(root, "mixed"), { recursive: true });
    await cp(sam("of-2"), sam("mixed"));
    await refuses(
      await sfr("run", ...words(3, "mixed")),
      /mixed\/finetune\/sam\.safetensors: .*expected shape \[3, 256\] for mask_decoder\.mask_tokens\.weight, received \[2, 256\]/,
    );
    const left = await readdir(join(root, "mixed"), { recursive: true });
    assert.deepEqual(
      left.filter((name) => /\.tmp$|sam-random-start.*nii\.gz|report\.html/.test(name)),
      [],
    );
  });

  it("a LoRA file as SAM's checkpoint: code 3", async () => {
    await refuses(
      await sfr("finetune", ...words(3, "lora"), "--sam-checkpoint", sam("of-2")),
      /of-2\/finetune\/sam\.safetensors: sam: expected a whole SAM as checkpoint, received LoRA updates/,
    );
    assert.equal(existsSync(sam("lora")), false);
  });

  it("a segmenter that says another number of classes: code 3", async () => {
    await refuses(
      await predictWith("sfr", (text) => text.replace('"classes":3', '"classes":2')),
      /changed\.safetensors: .*expected shape \[2, .*\] for out_conv\.weight, received \[3, /,
    );
  });

  it("a segmenter with label ids of other data: code 3", async () => {
    await refuses(
      await predictWith("data", (text) => text.replace("[0,1,2]", "[0,1]")),
      /changed\.safetensors: expected 3 label ids, received 2/,
    );
  });

  it("a segmenter whose description is no JSON: code 3", async () => {
    await refuses(
      await predictWith("sfr", () => "{"),
      /changed\.safetensors: expected a segmenter written by sfr, received other metadata/,
    );
  });
});
