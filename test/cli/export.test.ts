import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { parse } from "yaml";
import { plainPlan } from "../../src/data/preprocessing-plan.js";
import type { SamMetadata } from "../../src/finetune/sam-metadata.js";
import { Graph } from "../../src/graph/graph.js";
import { WeightSet } from "../../src/graph/weights.js";
import { hashFiles } from "../../src/io/hash-files.js";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors.js";
import { samConfig } from "../../src/models/sam/config.js";
import { SamNetwork } from "../../src/models/sam/network.js";
import { segment } from "../../src/models/segmenter.js";
import { segmenters } from "../../src/models/segmenters.js";
import type { Parity } from "../../src/onnx/parity.js";
import { saveSegmenter } from "../../src/predict/segmenter.js";
import { writeModelCard } from "../../src/run/model-card.js";
import { type TinySet, writeTinySet } from "../e2e/tiny-set.js";
import { fillWeights } from "../oracle/inputs.js";
import { type Outcome, sfr } from "./sfr.js";

const card = {
  labelIds: [0, 4, 7],
  labelNames: { "4": "atrium" },
  labelColors: {},
  plan: plainPlan,
  channels: 1,
  samChannel: 0,
};
const patch = [16, 16, 16] as const;

/** A V-Net as a run leaves it. */
async function writeSegmenter(path: string): Promise<void> {
  const weights = new WeightSet("student", 1);
  const graph = new Graph();
  const context = { graph, weights, training: false, updateStatistics: false };
  segment(segmenters.vnet, context, graph.input("x", "f32", [1, 16, 16, 16, 1]), {
    ...{ filters: 2, classes: 3, dropout: 0 },
  });
  fillWeights(weights);
  await saveSegmenter(path, weights, { model: "vnet", filters: 2, classes: 3, channels: 1, patch });
  await writeModelCard(path, card);
  weights.dispose();
}

/** A tiny SAM, and LoRA updates of it as a run leaves them. */
async function writeSam(checkpoint: string, path: string): Promise<void> {
  const training = { kind: "lora", rank: 2, targets: ["q", "v"] } as const;
  using network = new SamNetwork(samConfig("tiny", 64, 3), training, 1, { firstValues: "from-file" });
  const graph = new Graph();
  network.forward(graph, graph.input("x", "f32", [1, 64, 64]), false);
  fillWeights({ toState: () => network.toState(false), load: (state) => network.load(state) });
  const isOfSam = (name: string) => !name.startsWith("w_");
  await writeSafetensors(checkpoint, new Map([...network.toState(false)].filter(([name]) => isOfSam(name))));
  const metadata: SamMetadata = {
    ...{ size: "tiny", input: "native", scale: 1, canvas: 64, classes: 3, training, patch },
    base: { sha256: await hashFiles([checkpoint]) },
  };
  await writeSafetensors(path, network.toState(true), { sfr: JSON.stringify(metadata) });
  await writeModelCard(path, card);
}

describe("sfr export", () => {
  let root = "";
  let set: TinySet;
  const run = (): string => join(root, "run");
  const arm = (): string => join(run(), "arms", "sfr");
  const out = (): string => join(root, "out", "model.onnx");
  const exported = (...words: string[]): Promise<Outcome> => sfr("export", "--out", out(), ...words);

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-export-"));
    set = await writeTinySet(root);
    for (const folder of [arm(), join(run(), "finetune")]) await mkdir(folder, { recursive: true });
    await writeSegmenter(join(arm(), "segmenter.safetensors"));
    await writeSam(join(root, "base.safetensors"), join(run(), "finetune", "sam.safetensors"));
    const config: unknown = parse(await readFile(set.config, "utf8"));
    await writeFile(join(run(), "run.json"), JSON.stringify({ format: 1, config }));
  });
  beforeEach(() => rm(join(root, "out"), { recursive: true, force: true }));
  after(() => rm(root, { recursive: true }));

  async function refuses(outcome: Outcome, code: number, message: RegExp): Promise<void> {
    assert.equal(outcome.code, code, outcome.stderr);
    assert.match(outcome.stderr, message);
    assert.deepEqual(await readdir(join(root, "out")).catch(() => []), []);
  }

  it("writes a segmenter, compared on a case of the run", async () => {
    const { code, stdout, stderr } = await exported("--model", arm(), "--json");
    assert.equal(code, 0, stderr);
    const { parity, notes, title } = JSON.parse(stdout) as { parity: Parity; notes: string[]; title: string };
    assert.equal(title, "V-Net");
    assert.equal(parity.input, "the middle window of case phantom_000");
    assert.deepEqual(notes, []);
    assert.deepEqual((await readdir(join(root, "out"))).sort(), ["model.onnx", "model.parity.json"]);
    const text = (await readFile(out())).toString("latin1");
    for (const entry of [
      "preprocessing",
      "labels",
      "classes",
      "model",
      "window",
      "weights_sha256",
      "version",
    ])
      assert.ok(text.includes(`sfr.${entry}`), entry);
    assert.ok(text.includes('{"ids":[0,4,7],"names":{"4":"atrium"}}'));
    assert.ok(text.includes('"patch":[16,16,16]'));
  });

  it("writes SAM with the SAM that its updates belong to, and with no other", async () => {
    const sam = join(run(), "finetune");
    await refuses(
      await exported("--model", sam),
      2,
      /--sam-checkpoint: expected the SAM that the weights of .* belong to/,
    );
    const other = join(root, "other.safetensors");
    const { tensors } = await readSafetensors(join(root, "base.safetensors"));
    tensors.delete("image_encoder.neck.1.bias");
    await writeSafetensors(other, tensors);
    await refuses(
      await exported("--model", sam, "--sam-checkpoint", other),
      3,
      /other\.safetensors: expected the SAM/,
    );
    const { code, stdout, stderr } = await exported(
      "--model",
      sam,
      "--sam-checkpoint",
      join(root, "base.safetensors"),
    );
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /SAM tiny\nparity with the native engine on the middle canvas of case phantom_000: logits/,
    );
  });

  it("compares on noise when the run's data is gone", async () => {
    await cp(arm(), join(root, "alone"), { recursive: true });
    const { code, stdout } = await exported("--model", join(root, "alone"));
    assert.equal(code, 0);
    assert.match(stdout, /on a window of noise/);
  });

  it("refuses what it cannot write, leaving nothing", async () => {
    await refuses(
      await exported("--model", join(root, "nowhere")),
      3,
      /nowhere: expected a run.*received nothing/,
    );
    await refuses(
      await exported("--model", set.data),
      3,
      /expected segmenter\.safetensors or sam\.safetensors/,
    );
    await refuses(await exported("--model", run()), 2, /received a run with 2; name one of .*finetune.*arms/);
    await refuses(await exported("--model", set.config), 3, /tiny\.yaml/);
    await refuses(
      await sfr("export", "--model", arm(), "--out", join(set.config, "x.onnx")),
      3,
      /tiny\.yaml: expected a folder to write to, received (EEXIST|ENOTDIR)/,
    );
    await refuses(
      await sfr("export", "--model", arm(), "--out", join(root, "out", "x.pb")),
      2,
      /ending in \.onnx/,
    );
  });

  it("refuses a damaged segmenter", async () => {
    const path = join(root, "damaged.safetensors");
    const { tensors, metadata } = await readSafetensors(join(arm(), "segmenter.safetensors"));
    tensors.delete("out_conv.weight");
    await writeSafetensors(path, tensors, metadata);
    await refuses(await exported("--model", path), 3, /received none for out_conv\.weight/);
  });

  it("leaves a file that is there", async () => {
    await mkdir(join(root, "out"));
    await writeFile(out(), "mine");
    const { code, stderr } = await exported("--model", arm());
    assert.equal(code, 2);
    assert.match(stderr, /expected a new file for --out/);
    assert.equal(await readFile(out(), "utf8"), "mine");
  });
});
