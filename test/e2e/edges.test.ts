/** `sfr run` at the edges of what it takes: one labelled case, 13 organs, 4 channels, several canvases, odd patches. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readImage, readLabels } from "../../src/data/volume-file.js";
import { readExchange } from "../../src/exchange/record.js";
import { type HostTensor, toFloat32 } from "../../src/io/host-tensor.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { segmenterMetadata } from "../../src/predict/segmenter.js";
import { sfr } from "../cli/sfr.js";
import { type EdgeSet, edgeArms, writeEdgeSet } from "./edge-set.js";

describe("sfr run at the edges", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-edges-"));
  });
  after(() => rm(root, { recursive: true }));

  async function succeed(...words: string[]): Promise<string> {
    const { code, stdout, stderr } = await sfr(...words, "--quiet");
    assert.equal(code, 0, `sfr ${words.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** Runs a configuration. @returns its folder and its data set's */
  async function run(
    name: string,
    edge: EdgeSet,
    change: object = {},
  ): Promise<{ out: string; data: string }> {
    const { config, data } = await writeEdgeSet(join(root, name), edge, change);
    const out = join(root, name, "run");
    await succeed("run", config, "--out", out);
    return { out, data };
  }

  /** Ids that the arms' predictions hold, each on the grid of its image. */
  async function predictedIds({ out, data }: { out: string; data: string }): Promise<Set<number>> {
    const ids = new Set<number>();
    for (const arm of await readdir(join(out, "arms"))) {
      const folder = join(out, "arms", arm, "predictions");
      const names = (await readdir(folder)).filter((name) => name.endsWith(".nii.gz"));
      assert.equal(names.length, 1, arm);
      for (const name of names) {
        const labels = await readLabels(join(folder, name));
        const image = await readImage(join(data, "imagesTs", name.replace(".nii.gz", "_0000.nii.gz")));
        assert.deepEqual(labels.shape, image.shape);
        for (const id of labels.data) ids.add(id);
      }
    }
    return ids;
  }

  async function segmenterOf(out: string, arm: string) {
    const { tensors, metadata } = await readSafetensors(join(out, "arms", arm, "segmenter.safetensors"));
    return { tensors, metadata: segmenterMetadata(metadata.sfr) ?? assert.fail(arm) };
  }

  const shapeOf = (tensors: ReadonlyMap<string, HostTensor>, name: string) =>
    tensors.get(name)?.shape ?? assert.fail(name);

  it("one labelled case fills batches of two labelled crops", async () => {
    const arms = [{ method: "labelled-only" }, { method: "mean-teacher", pseudoLabels: "sam" }];
    const found = await run("one", { labelled: 1 }, { arms, retrain: { steps: 4, labelledBatch: 2 } });
    await predictedIds(found);
  });

  it("13 organs and background: all of SAM's tokens and the segmenter's head, scores for each", async () => {
    const found = await run("organs", { organs: 13 });
    assert.ok([...(await predictedIds(found))].every((id) => id <= 13));
    const { tensors, metadata } = await segmenterOf(found.out, "sfr-random-sam");
    assert.equal(metadata.classes, 14);
    assert.deepEqual(shapeOf(tensors, "out_conv.weight"), [14, 2, 1, 1, 1]);
    const sam = await readSafetensors(join(found.out, "finetune", "sam.safetensors"));
    assert.equal(shapeOf(sam.tensors, "mask_decoder.mask_tokens.weight")[0], 14);
    const summary = await readSafetensors(join(found.out, "arms", edgeArms[2], "sam.safetensors"));
    assert.equal(shapeOf(summary.tensors, "mask_decoder.mask_tokens.weight")[0], 14);
  });

  it("4 channels: the segmenter learns from all, SAM sees the one that is chosen", async () => {
    const arms = [
      { method: "sam" },
      { method: "mean-teacher", pseudoLabels: "sam" },
      { method: "mean-teacher", pseudoLabels: "exchange" },
      { method: "bcp" },
    ];
    const found = await run("four", { channels: 4, phantomChannel: 2 }, { arms, data: { samChannel: 2 } });
    await predictedIds(found);
    const { tensors, metadata } = await segmenterOf(found.out, "sfr-random-sam");
    assert.equal(metadata.channels, 4);
    const name = "block_one.conv.0.weight";
    assert.deepEqual(shapeOf(tensors, name), [2, 4, 3, 3, 3]);
    // Each channel's weights have moved, by the labelled crops alone in one arm and by the others' too in the other.
    const [first, second] = [tensors, (await segmenterOf(found.out, "bcp")).tensors].map((each) =>
      toFloat32(each.get(name) ?? assert.fail(name)),
    );
    for (let at = 0; at < 8; at++)
      assert.notDeepEqual(first?.slice(27 * at, 27 * (at + 1)), second?.slice(27 * at, 27 * (at + 1)));
    const routes = readExchange(join(found.out, "arms", edgeArms[2], "exchange.csv"));
    assert.equal(routes.length, 4);

    // SAM of a data set that has that channel alone.
    const alone = await writeEdgeSet(join(root, "alone"), {}, { arms: [{ method: "sam" }] });
    const out = join(root, "alone", "run");
    await succeed("run", alone.config, "--out", out);
    const samOf = async (folder: string) =>
      (await readSafetensors(join(folder, "finetune", "sam.safetensors"))).tensors;
    assert.deepEqual(await samOf(found.out), await samOf(out));
    const predictionOf = async (folder: string) =>
      (await readLabels(join(folder, "arms", edgeArms[0], "predictions", "phantom_004.nii.gz"))).data;
    assert.deepEqual(await predictionOf(found.out), await predictionOf(out));

    // The commands that label volumes take the data set too.
    const weights = join(found.out, "arms", "sfr-random-sam", "segmenter.safetensors");
    const labels = join(root, "four", "labels");
    await succeed("predict", found.data, "--weights", weights, "--out", labels);
    assert.deepEqual((await readdir(labels)).sort(), [
      "labels.ctbl",
      "manifest",
      "phantom_002.nii.gz",
      "phantom_003.nii.gz",
    ]);
    const one = await sfr(
      ...["predict", join(alone.data, "imagesTs"), "--weights", weights, "--out", join(labels, "x")],
    );
    assert.equal(one.code, 3);
    assert.match(one.stderr, /expected 4 channels as the network was trained on, received 1/);
  });

  it("more slices than a canvas has tiles go on several canvases, in every stage", async () => {
    // 16 tiles of 16 x 16 pixels, 40 slices.
    const change = { patch: [16, 16, 40], exchange: { steps: 2, threshold: 0 } };
    const found = await run("canvases", { extents: [26, 25, 44] }, change);
    await predictedIds(found);
    const routes = readExchange(join(found.out, "arms", edgeArms[2], "exchange.csv"));
    assert.ok(routes.every(({ route, loss }) => route === "finetune" && (loss ?? 0) > 0));
  });

  it("patches of any extents: SAM's tiles have them, the segmenter pads to multiples of 16", async () => {
    const found = await run("odd", {}, { patch: [21, 10, 18] });
    await predictedIds(found);
    const { metadata } = await segmenterOf(found.out, "sfr-random-sam");
    assert.deepEqual(metadata.patch, [21, 10, 18]);
  });

  it("iterative self-training labels the unlabelled cases in rounds, and goes on where it was stopped", async () => {
    const arms = [{ method: "self-training", rounds: 2 }];
    const { config } = await writeEdgeSet(join(root, "rounds"), {}, { arms });
    const out = join(root, "rounds", "run");
    await succeed("run", config, "--out", out);
    const arm = join(out, "arms", "self-training-2-rounds");
    const weightsOf = async (folder: string) =>
      (await readSafetensors(join(folder, "segmenter.safetensors"))).tensors;
    const rounds = [join(arm, "round-0"), join(arm, "round-1"), arm];
    const weights = await Promise.all(rounds.map(weightsOf));
    assert.notDeepEqual(weights[0], weights[1]);
    assert.notDeepEqual(weights[1], weights[2]);
    // The first round is the labelled cases' own training, bit for bit.
    const lower = await writeEdgeSet(join(root, "lower"), {}, { arms: [{ method: "labelled-only" }] });
    await succeed("retrain", lower.config, "--out", join(root, "lower", "run"));
    assert.deepEqual(weights[0], await weightsOf(join(root, "lower", "run", "arms", "v-net-labelled-only")));
    for (const round of rounds.slice(0, 2))
      assert.deepEqual((await readdir(join(round, "labels"))).sort(), [
        "phantom_002.nii.gz",
        "phantom_003.nii.gz",
      ]);
    // Of a run that was stopped in its second round.
    await rm(join(arm, "segmenter.safetensors"));
    await rm(join(arm, "checkpoint.safetensors"));
    await rm(join(arm, "round-1"), { recursive: true });
    await rm(join(arm, "round-0", "labels", "phantom_003.nii.gz"));
    await succeed("run", config, "--out", out);
    assert.deepEqual(await Promise.all(rounds.map(weightsOf)), weights);
    // Of one that was stopped in the last training, which needs the labels of the last round alone.
    await rm(join(arm, "segmenter.safetensors"));
    await rm(join(arm, "checkpoint.safetensors"));
    await rm(join(arm, "round-0", "labels"), { recursive: true });
    await succeed("run", config, "--out", out);
    assert.deepEqual(await Promise.all(rounds.map(weightsOf)), weights);
    assert.ok(!(await readdir(join(arm, "round-0"))).includes("labels"));
    // A single-shot training on the last round's labels is the last training.
    const given = await writeEdgeSet(
      join(root, "given"),
      {},
      {
        arms: [{ method: "self-training", pseudoLabels: "sam" }],
        pseudoLabels: join(arm, "round-1", "labels"),
      },
    );
    await succeed("retrain", given.config, "--out", join(root, "given", "run"));
    assert.deepEqual(
      weights[2],
      await weightsOf(join(root, "given", "run", "arms", "sfr-self-training-given-labels")),
    );
  });

  it("SFR+ goes on from the last training of an arm with rounds, and says what both models need", async () => {
    const arms = [
      { method: "self-training", pseudoLabels: "sam", rounds: 1 },
      { method: "self-training", pseudoLabels: "exchange" },
    ];
    // Where nothing is learned, the weights in the end are those in the beginning.
    const exchange = { steps: 1, segmenterRate: 0 };
    const { config } = await writeEdgeSet(join(root, "rounds-plus"), {}, { arms, exchange });
    const out = join(root, "rounds-plus", "run");
    const { code, stderr } = await sfr("run", config, "--out", out);
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /exchange of SFR\+ .*: SAM [\d.]+ GB and segmenter [\d.]+ GB with moments, [\d.]+ GB for the larger of their steps/,
    );
    const headOf = async (arm: string) => (await segmenterOf(out, arm)).tensors.get("out_conv.weight")?.data;
    const start = "sfr-self-training-1-round-random-sam";
    const [last, before, plus] = [
      await headOf(start),
      await headOf(join(start, "round-0")),
      await headOf("sfr-plus-self-training-random-sam"),
    ];
    assert.deepEqual(plus, last);
    assert.notDeepEqual(plus, before);
  });
});
