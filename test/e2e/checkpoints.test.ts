import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readLabels } from "../../src/data/volume-file.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors.js";
import { readWeights } from "../../src/io/weights-file.js";
import { readRunRecord } from "../../src/run/run-folder.js";
import { type Outcome, sfr } from "../cli/sfr.js";
import { type TinySet, writeTinySet } from "./tiny-set.js";

describe("sfr, weights in and out", () => {
  let root = "";
  let set: TinySet = { data: "", config: "" };
  /** A whole SAM of three classes as .pth, and LoRA updates that were trained on it, as .safetensors and as .pth. */
  const checkpoint = (): string => join(root, "sam.pth");
  const trained = (): string => join(root, "lora", "finetune", "sam.safetensors");
  const lora = (): string => join(root, "lora.pth");

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-weights-"));
    set = await writeTinySet(root);
    await finetune("whole", "--finetune-steps", "1");
    await succeed("convert", join(root, "whole", "finetune", "sam.safetensors"), checkpoint());
    await finetune("lora", "--sam-checkpoint", checkpoint(), "--sam-rank", "2", "--finetune-steps", "3");
    await succeed("convert", trained(), lora());
  });
  after(() => rm(root, { recursive: true }));

  async function succeed(...words: string[]): Promise<Outcome> {
    const outcome = await sfr(...words);
    assert.equal(outcome.code, 0, `sfr ${words.join(" ")}: ${outcome.stderr}`);
    return outcome;
  }

  const finetune = (out: string, ...words: string[]): Promise<Outcome> =>
    succeed("finetune", set.config, "--out", join(root, out), ...words);

  it("LoRA's file says what it is and which SAM it belongs to", async () => {
    const { tensors, metadata } = await readSafetensors(trained());
    const { training, classes, canvas, patch, plan, preprocessing, base } = JSON.parse(metadata.sfr ?? "");
    assert.deepEqual(training, { kind: "lora", rank: 2, targets: ["q", "v"] });
    assert.deepEqual([classes, canvas, patch], [3, 64, [16, 16, 16]]);
    assert.deepEqual([plan.rows, plan.cols, plan.slices, plan.canvas], [4, 4, 16, 64]);
    assert.deepEqual(
      [preprocessing.volume, preprocessing.pixelMean, preprocessing.pixelStd],
      ["z-score", 0, 1],
    );
    const hash = createHash("sha256")
      .update(await readFile(checkpoint()))
      .digest("hex");
    assert.deepEqual(base, { sha256: hash });
    assert.ok(![...tensors.keys()].some((name) => name.startsWith("image_encoder.")));
  });

  it("run.json holds what was taken, the log one line", async () => {
    const { stderr } = await finetune("log", "--sam-checkpoint", checkpoint(), "--finetune-steps", "0");
    assert.match(stderr, /sam\.pth: \d+ tensors taken\n/);
    const report = readRunRecord(join(root, "log"))?.loading.sam ?? assert.fail("no report");
    assert.deepEqual([...report.taken].sort(), [...(await readWeights(checkpoint())).keys()].sort());
    assert.deepEqual([report.resized, report.initialised, report.ignored], [[], [], []]);
  });

  it("starts from LoRA updates, those of a .pth as well; no steps leave them as they are", async () => {
    for (const [index, file] of [trained(), lora()].entries()) {
      const out = `again-${index}`;
      const words = ["--sam-checkpoint", checkpoint(), "--sam-lora", file, "--sam-rank", "2"];
      await finetune(out, ...words, "--finetune-steps", "0");
      const { tensors } = await readSafetensors(join(root, out, "finetune", "sam.safetensors"));
      assert.deepEqual(tensors, (await readSafetensors(trained())).tensors);
      const record = readRunRecord(join(root, out)) ?? assert.fail("no record");
      assert.deepEqual([...(record.loading.lora?.taken ?? [])].sort(), [...tensors.keys()].sort());
      assert.ok(record.weights.lora !== undefined && record.weights.sam !== undefined);
    }
  });

  it("refuses updates of another SAM, and updates alone", async () => {
    const other = join(root, "other.safetensors");
    const state = await readWeights(checkpoint());
    const bias = toFloat32(state.get("image_encoder.neck.1.bias") ?? assert.fail("no bias"));
    bias[0] = 5;
    await writeSafetensors(other, state);
    const words = ["finetune", set.config, "--out", join(root, "refused"), "--sam-rank", "2"];
    const refused = await sfr(...words, "--sam-lora", trained(), "--sam-checkpoint", other);
    assert.equal(refused.code, 3);
    assert.match(
      refused.stderr,
      /expected LoRA updates of the SAM in sam\.checkpoint \(SHA-256 [0-9a-f]{64}\)/,
    );
    const alone = await sfr(...words, "--sam-lora", trained());
    assert.equal(alone.code, 2);
    assert.match(alone.stderr, /sam\.lora: expected sam\.checkpoint beside it/);
  });

  it("pseudo-label: takes LoRA's base as the run says or as named, and no other", async () => {
    const input = join(set.data, "imagesUn");
    const label = (model: string, out: string, ...words: string[]) =>
      sfr("pseudo-label", "--model", model, "--input", input, "--out", join(root, out), "--quiet", ...words);
    const read = (out: string) => readFile(join(root, out, "phantom_002.nii.gz"));
    assert.equal((await label(join(root, "lora"), "by-run")).code, 0);
    assert.equal((await label(trained(), "by-name", "--sam-checkpoint", checkpoint())).code, 0);
    assert.deepEqual(await read("by-name"), await read("by-run"));
    assert.equal((await label(trained(), "in-run")).code, 0);
    const copy = join(root, "copy.safetensors");
    await copyFile(trained(), copy);
    const alone = await label(copy, "alone");
    assert.equal(alone.code, 2);
    assert.match(alone.stderr, /--sam-checkpoint: expected the SAM that the weights of .*copy\.safetensors/);
    const other = await label(trained(), "other", "--sam-checkpoint", trained());
    assert.equal(other.code, 3);
    assert.match(other.stderr, /expected the SAM that .* \(SHA-256 [0-9a-f]{64}\), received [0-9a-f]{64}/);
  });

  it("says what to do with a checkpoint where a trained model is wanted", async () => {
    const input = join(set.data, "imagesUn");
    const [fixtures, out] = [join("test", "fixtures"), join(root, "untrained")];
    for (const words of [
      ["pseudo-label", "--model", checkpoint(), "--input", input],
      ["pseudo-label", "--model", join(fixtures, "checkpoints", "sam-hf.safetensors"), "--input", input],
      ["predict", input, "--weights", join(fixtures, "reference", "vnet-4f", "iter_0.pth")],
      ["export", "--model", lora()],
    ]) {
      const { code, stderr } = await sfr(...words, "--out", `${out}.onnx`);
      assert.equal(code, 3, stderr);
      assert.match(
        stderr,
        /expected weights trained by sfr.*sfr finetune --sam-checkpoint.*sfr convert --patch/,
      );
    }
  });

  it("refuses a checkpoint that is none, naming the file", async () => {
    const path = join(root, "page.pth");
    await writeFile(path, "<html>404</html>");
    const words = ["--sam-checkpoint", path, "--out", join(root, "page")];
    const { code, stderr } = await sfr("finetune", set.config, ...words);
    assert.equal(code, 3);
    assert.match(stderr, /page\.pth.*a failed download often leaves a web page/);
  });

  for (const [model, file, patch] of [
    ["vnet", join("reference", "vnet-4f", "iter_0.pth"), "16x16x16"],
    ["unet3d", join("checkpoints", "unet3d.pth"), "32,16,16"],
    ["magicnet", join("checkpoints", "magicnet.pth"), "32,16,16"],
  ] as const)
    it(`convert: makes a segmenter of a ${model} that PyTorch wrote`, async () => {
      const weights = join(root, `${model}.safetensors`);
      const input = join("test", "fixtures", file);
      await succeed("convert", input, weights, "--patch", patch);
      const { sfr: metadata = "" } = (await readSafetensors(weights)).metadata;
      assert.equal((JSON.parse(metadata) as { model: string }).model, model);
      const image = join(set.data, "imagesTs", "phantom_005.nii.gz");
      const out = join(root, `${model}-labels`);
      await succeed("predict", image, "--weights", weights, "--out", out, "--stride", "16,16,16");
      const { data } = await readLabels(join(out, "phantom_005.nii.gz"));
      assert.ok(data.every((label) => label < 3));
      const back = join(root, `${model}.pth`);
      const { stderr } = await succeed("convert", weights, back);
      assert.match(stderr, /no place for the metadata data, sfr/);
      const [before, after] = [await readWeights(input), await readWeights(back)];
      assert.equal(before.size, after.size);
      for (const [name, tensor] of before) assert.deepEqual(after.get(name), tensor, name);
    });

  it("convert: refuses what it cannot do, leaving no file", async () => {
    const input = join("test", "fixtures", "checkpoints", "sam.pth");
    for (const [words, code, message] of [
      [[input, join(root, "x.onnx")], 2, /expected \.safetensors or \.pth as output/],
      [[input, join(root, "x.safetensors"), "--patch", "16,16"], 2, /--patch: expected three whole numbers/],
      [[input, join(root, "x.safetensors"), "--patch", "0,16,16"], 2, /expected at least 1 voxel/],
      [
        [input, join(root, "x.safetensors"), "--patch", "16,16,16"],
        3,
        /expected the tensors of a V-Net \(.*\) or a 3D U-Net \(/,
      ],
      [
        [
          join("test", "fixtures", "checkpoints", "unet3d.pth"),
          join(root, "x.safetensors"),
          "--patch",
          "16,16,16",
        ],
        2,
        /--patch: expected at least 32 voxels along one axis for a 3D U-Net/,
      ],
      [
        [input, join(root, "x.pth"), "--patch", "16,16,16"],
        2,
        /expected \.safetensors as output with --patch/,
      ],
      [[join("test", "fixtures", "pth-old-format.pth"), join(root, "x.pth")], 3, /before PyTorch 1\.6/],
      [[join("test", "fixtures", "pth-runs-code.pth"), join(root, "x.pth")], 3, /posix\.system/],
    ] as const) {
      const outcome = await sfr("convert", ...words);
      assert.equal(outcome.code, code, outcome.stderr);
      assert.match(outcome.stderr, message);
      await assert.rejects(readFile(words[1]), /ENOENT/);
    }
  });
});
