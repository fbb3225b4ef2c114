import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DataError } from "../../src/errors.js";
import type { HostTensor } from "../../src/io/host-tensor.js";
import { writeSafetensors } from "../../src/io/safetensors.js";
import { tensorsInMemory } from "../../src/io/tensor-file.js";
import { openWeights, readWeights } from "../../src/io/weights-file.js";
import type { SamConfig } from "../../src/models/sam/config.js";
import { type LoadingReport, loadingSummary } from "../../src/models/sam/loading.js";
import type { SamNetwork } from "../../src/models/sam/network.js";
import { checkpointFixture, smallSam, unlike } from "./small-sam.js";

async function load(network: SamNetwork, path: string): Promise<LoadingReport> {
  await using file = await openWeights(path);
  return await network.loadCheckpoint(file);
}

const refuses =
  (...words: readonly string[]) =>
  (error: unknown): boolean =>
    error instanceof DataError && words.every((word) => error.message.includes(word));

describe("SAM checkpoints", () => {
  // f32 is exact; bf16 has 8 bits and f16 11, rounded to nearest.
  for (const [file, who, error] of [
    ["sam.pth", "Meta's layout", 0],
    ["sam-f16.pth", "Meta's layout in f16", 2 ** -11],
    ["medsam.pth", "MedSAM's training checkpoint in bf16, saved by DataParallel", 2 ** -8],
    ["sam-hf.safetensors", "Hugging Face's SamModel in f16", 2 ** -11],
  ] as const) {
    it(`takes every tensor of ${who}`, async () => {
      using network = smallSam();
      const report = await load(network, checkpointFixture(file));
      const state = network.toState(false);
      assert.deepEqual([...report.taken].sort(), [...state.keys()].sort());
      assert.deepEqual(unlike(state, report.taken, { error }), []);
      assert.deepEqual([report.resized, report.initialised, report.kept, report.ignored], [[], [], [], []]);
    });
  }

  it("starts the tensors of another number of classes at random, the same as without a file", async () => {
    using network = smallSam({ classes: 3 });
    const report = await load(network, checkpointFixture("sam.pth"));
    assert.ok(report.initialised.includes("mask_decoder.mask_tokens.weight"));
    assert.ok(report.initialised.every((name) => /mask_tokens|hypernetworks|iou_prediction/.test(name)));
    assert.ok(report.ignored.includes("mask_decoder.output_hypernetworks_mlps.3.layers.0.weight"));
    using fresh = smallSam({ classes: 3 }, { kind: "all" }, "initialised");
    const [state, expected] = [network.toState(false), fresh.toState(false)];
    for (const name of report.initialised) assert.deepEqual(state.get(name), expected.get(name), name);
    assert.deepEqual(unlike(state, report.taken, { error: 0 }), []);
    assert.match(loadingSummary(report), /^\d+ tensors taken, \d+ freshly initialised, \d+ ignored$/);
  });

  it("resizes the position tables to another canvas and says which", async () => {
    using network = smallSam({ canvas: 96 });
    const { resized } = await load(network, checkpointFixture("sam.pth"));
    assert.deepEqual(resized, [
      "image_encoder.pos_embed",
      "image_encoder.blocks.1.attn.rel_pos_h",
      "image_encoder.blocks.1.attn.rel_pos_w",
    ]);
  });

  const unfit: [string, Partial<SamConfig>, string[]][] = [
    [
      "a wider encoder",
      { width: 16 },
      ["image_encoder.patch_embed.proj.weight", "[16, 3, 16, 16]", "[8, 3, 16, 16]"],
    ],
    ["a deeper encoder", { depth: 3 }, ["image_encoder.blocks.2."]],
    ["a shallower encoder", { depth: 1, globalBlocks: [] }, ["image_encoder.blocks.1."]],
    ["a wider decoder", { decoderWidth: 32 }, ["image_encoder.neck.0.weight"]],
    ["other windows", { window: 3 }, ["image_encoder.blocks.0.attn.rel_pos_"]],
  ];
  for (const [what, change, words] of unfit) {
    it(`refuses the file for ${what}, by name`, async () => {
      using network = smallSam(change);
      await assert.rejects(load(network, checkpointFixture("sam.pth")), refuses(...words));
    });
  }

  it("names the size that a file has", async () => {
    using network = smallSam();
    const state = await readWeights(checkpointFixture("sam.pth"));
    const data = new Float32Array(4 * 4 * 1280);
    state.set("image_encoder.pos_embed", { dtype: "f32", shape: [1, 4, 4, 1280], data });
    await assert.rejects(
      network.loadCheckpoint(tensorsInMemory(state)),
      refuses("image_encoder.pos_embed", "set sam.size to vit_h"),
    );
  });

  it("refuses integers, and LoRA updates alone", async () => {
    using network = smallSam();
    const state = await readWeights(checkpointFixture("sam.pth"));
    const shape = state.get("image_encoder.neck.1.bias")?.shape ?? [];
    const data = new Int8Array(16);
    state.set("image_encoder.neck.1.bias", { dtype: "i8", shape, data });
    await assert.rejects(
      network.loadCheckpoint(tensorsInMemory(state)),
      refuses("expected f32, f16, bf16 or f64", "received i8"),
    );
    await assert.rejects(load(network, checkpointFixture("lora.pth")), refuses("sam.lora"));
  });

  it("reads nothing of a file that does not fit", async () => {
    using network = smallSam({ depth: 3 });
    const state = await readWeights(checkpointFixture("sam.pth"));
    const source = { tensors: state, read: (name: string) => assert.fail(`read ${name}`) };
    await assert.rejects(network.loadCheckpoint(source), refuses("image_encoder.blocks.2."));
  });
});

describe("LoRA files", () => {
  const lora = { kind: "lora", rank: 2, targets: ["q", "v"] } as const;
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-lora-"));
  });
  after(() => rm(folder, { recursive: true }));

  async function loadLora(network: SamNetwork, path: string): Promise<LoadingReport> {
    await using file = await openWeights(path);
    return await network.loadLora(file);
  }

  /** The authors' file with changes. */
  async function changed(change: (state: Map<string, HostTensor>) => void): Promise<string> {
    const state = await readWeights(checkpointFixture("lora.pth"));
    change(state);
    const path = join(folder, "changed.safetensors");
    await writeSafetensors(path, state);
    return path;
  }

  it("takes the authors' file whole and gives it back with the same names, shapes and values", async () => {
    using network = smallSam({ classes: 3 }, lora);
    await load(network, checkpointFixture("sam.pth"));
    const report = await loadLora(network, checkpointFixture("lora.pth"));
    const file = await readWeights(checkpointFixture("lora.pth"));
    assert.deepEqual([...report.taken].sort(), [...file.keys()].sort());
    assert.deepEqual([report.kept, report.ignored], [[], []]);
    // What the authors' loader looks up: every LoRA tensor, and every tensor of prompt encoder and mask decoder.
    const state = network.toState(true);
    assert.deepEqual([...state.keys()].sort(), [...file.keys()].sort());
    for (const [name, tensor] of file) assert.deepEqual(state.get(name), tensor, name);
    const encoder = [...network.toState(false).keys()].filter((name) => name.startsWith("image_encoder."));
    assert.deepEqual(unlike(network.toState(false), encoder, { error: 0 }), []);
  });

  it("keeps the checkpoint's class tensors when the file is for other classes, as one of SAMed's may be", async () => {
    using network = smallSam({}, lora);
    await load(network, checkpointFixture("sam.pth"));
    const { kept, ignored } = await loadLora(network, checkpointFixture("lora.pth"));
    assert.ok(kept.includes("mask_decoder.mask_tokens.weight"));
    assert.ok(ignored.includes("mask_decoder.mask_tokens.weight"));
    assert.deepEqual(unlike(network.toState(false), kept, { error: 0 }), []);
  });

  it("refuses another rank, depth and kind of update, by name", async () => {
    using other = smallSam({}, { ...lora, rank: 4 });
    await assert.rejects(loadLora(other, checkpointFixture("lora.pth")), refuses("set sam.rank to 2"));
    using deeper = smallSam({ depth: 3 }, lora);
    await assert.rejects(loadLora(deeper, checkpointFixture("lora.pth")), refuses("w_a_004"));
    using wider = smallSam({}, { ...lora, targets: ["q", "k", "v"] });
    await assert.rejects(loadLora(wider, checkpointFixture("lora.pth")), refuses("w_a_k_000", "sam.targets"));
    using shallower = smallSam({ depth: 1, globalBlocks: [] }, lora);
    await assert.rejects(loadLora(shallower, checkpointFixture("lora.pth")), refuses("w_a_002"));
    using whole = smallSam({});
    await assert.rejects(loadLora(whole, checkpointFixture("lora.pth")), refuses("sam.train to lora"));
    using network = smallSam({}, lora);
    await assert.rejects(loadLora(network, checkpointFixture("sam.pth")), refuses("sam.checkpoint"));
    const update: HostTensor = { dtype: "f32", shape: [2, 16], data: new Float32Array(32) };
    const ofDecoder = await changed((state) => state.set("fati_qa", update));
    await assert.rejects(loadLora(network, ofDecoder), refuses("fati_qa", "W + B A"));
    const lacking = await changed((state) => state.delete("w_b_003"));
    await assert.rejects(loadLora(network, lacking), refuses("w_b_003"));
  });
});
