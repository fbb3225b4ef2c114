/** Every way to fine-tune: exactly what is meant moves, and what is written labels as it was trained. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { finetuneSettings, type SamSettings, samSettings, type Voxels } from "../../src/config/schema.js";
import type { PreparedCase } from "../../src/data/prepare.js";
import { finetune } from "../../src/finetune/finetune.js";
import { SamLabeller } from "../../src/finetune/sam-labeller.js";
import { neededBase, readSamMetadata, settingsOf } from "../../src/finetune/sam-metadata.js";
import { loadTrainedSam } from "../../src/finetune/trained-sam.js";
import { readSafetensors } from "../../src/io/safetensors.js";
import { Tensor } from "../../src/native/tensor.js";
import { inputPlan } from "../../src/stitch/input-plan.js";
import { phantomCase } from "../retrain/phantom-case.js";

const patch: Voxels = [16, 12, 10];
const classes = 3;
let folder = "";
let checkpoint = "";
let entry: PreparedCase;

/** Fine-tunes for two steps; returns the weights file. */
async function train(name: string, sam: SamSettings, disruption = "none"): Promise<string> {
  const weightsPath = join(folder, `${name}.safetensors`);
  await finetune({
    cases: [entry],
    // A low rate leaves a SAM that says something else than background.
    settings: finetuneSettings.parse({ steps: 2, batch: 1, learningRate: 1e-5, disruption }),
    ...{ classes, patch, sam, seed: 1, checkpointEvery: 10, weightsPath },
    checkpointPath: join(folder, `${name}-checkpoint.safetensors`),
    checkpointHash: sam.checkpoint === null ? null : "base",
  });
  return weightsPath;
}

const settings = (more: Record<string, unknown>): SamSettings =>
  samSettings.parse({ size: "tiny", canvas: 64, ...more });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "sfr-variants-"));
  entry = await phantomCase(0, [24, 24, 24]);
  checkpoint = await train("base", settings({}));
});
after(async () => {
  entry.image.dispose();
  entry.label?.dispose();
  await rm(folder, { recursive: true });
});

/** The middle crop of the case, f32 [1, D, H, W]. */
function middleCrop(): Tensor {
  const [width, height, depth] = patch;
  const crop = Tensor.zeros("f32", [1, depth, height, width]);
  for (let z = 0; z < depth; z++)
    for (let y = 0; y < height; y++) {
      const from = ((z + 5) * 24 + y + 6) * 24 + 4;
      crop.f32.set(entry.image.f32.subarray(from, from + width), (z * height + y) * width);
    }
  return crop;
}

async function labelsOf(weights: string, sam: SamSettings, crop: Tensor): Promise<Uint8Array> {
  using labeller = await SamLabeller.load(weights, { sam, classes, patch });
  using labels = await labeller.labelCrops(crop);
  return labels.u8.slice();
}

/** Tensors of the head that no loss reaches: prompts that are stripped, and the IoU head. */
const unused = /iou_prediction_head|point_embed|mask_downscaling|gaussian_matrix/;
const decoder = /^mask_decoder\./;
const head = /^mask_decoder\.|^prompt_encoder\.no_mask_embed/;
const variants = {
  all: { moved: /./, added: /^$/ },
  decoder: { moved: decoder, added: /^$/ },
  lora: { moved: head, added: /^w_[ab]_00[0-7]$/ },
  adapter: {
    moved: head,
    added: /^image_encoder\.blocks\.[0-3]\.(Space|MLP)_Adapter\.D_fc[12]\.(weight|bias)$/,
  },
} as const;

for (const [kind, { moved, added }] of Object.entries(variants))
  test(`${kind}: exactly what is meant moves, and the file is enough with its SAM`, async () => {
    const sam = settings({ checkpoint, train: kind });
    const file = await train(kind, sam);
    const [start, end] = [(await readSafetensors(checkpoint)).tensors, (await readSafetensors(file)).tensors];
    const isEncoder = (name: string) => name.startsWith("image_encoder.") && start.has(name);
    const additions = [...end.keys()].filter((name) => !start.has(name));
    assert.ok(
      additions.every((name) => added.test(name)),
      additions.join(),
    );
    assert.equal(additions.length, { all: 0, decoder: 0, lora: 16, adapter: 32 }[kind]);
    for (const name of start.keys()) {
      const tensor = end.get(name);
      // The frozen encoder stays in its own file.
      assert.equal(tensor === undefined, kind !== "all" && isEncoder(name), name);
      if (tensor === undefined) continue;
      const isSame = Buffer.compare(bytesOf(tensor.data), bytesOf(start.get(name)?.data)) === 0;
      assert.equal(isSame, unused.test(name) || !moved.test(name), name);
    }
    for (const name of additions)
      assert.ok(
        end.get(name)?.data.some((value) => value !== 0),
        name,
      );

    using crop = middleCrop();
    const labels = await labelsOf(file, sam, crop);
    assert.ok(new Set(labels).size > 1, "one class alone proves nothing");
    // As sfr predict and sfr export load it: by what the file says of itself.
    const metadata = await readSamMetadata(file);
    assert.equal(neededBase(metadata), kind === "all" ? null : "base");
    const base = neededBase(metadata) === null ? null : checkpoint;
    assert.deepEqual(await labelsOf(file, settingsOf(metadata, base), crop), labels);
    using exported = new SamLabeller(
      await loadTrainedSam(file, metadata, base),
      patch,
      inputPlan(patch, metadata),
    );
    using again = await exported.labelCrops(crop);
    assert.deepEqual(again.u8, labels);
  });

function bytesOf(data: ArrayBufferView | undefined): Uint8Array {
  return data === undefined
    ? new Uint8Array()
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

test("adapters and LoRA start as the SAM that they are added to", async () => {
  using crop = middleCrop();
  const logits = async (train: string) => {
    const sam = settings({ checkpoint, train });
    const file = join(folder, `start-${train}.safetensors`);
    await finetune({
      cases: [entry],
      settings: finetuneSettings.parse({ steps: 0 }),
      ...{ classes, patch, sam, seed: 7, checkpointEvery: 10, weightsPath: file },
      checkpointPath: join(folder, "unused.safetensors"),
      checkpointHash: "base",
    });
    using labeller = await SamLabeller.load(file, { sam, classes, patch });
    return (await labeller.logits(crop)).f32.slice();
  };
  const plain = await logits("decoder");
  for (const train of ["adapter", "lora"]) assert.deepEqual(await logits(train), plain, train);
});

for (const [name, form] of Object.entries({
  square: { input: "square" },
  "scale 2": { input: "scale", scale: 2, canvas: 96 },
  "scale 5": { input: "scale", scale: 5, canvas: 96 },
  upsample: { input: "upsample" },
  "small-size": { input: "small-size", canvas: 16 },
}))
  test(`${name}: trained and labelled part by part, as each part is alone`, async () => {
    const sam = settings(form);
    const file = await train(name.replace(" ", "-"), sam, "shuffled");
    const metadata = await readSamMetadata(file);
    assert.deepEqual(settingsOf(metadata, null), { ...sam, train: "all" });
    const plan = inputPlan(patch, sam);
    using crop = middleCrop();
    using whole = await SamLabeller.load(file, { sam, classes, patch });
    using labels = await whole.labelCrops(crop);
    const logits = (await whole.logits(crop)).f32.slice();
    assert.equal(logits.length, classes * crop.count);
    using part = await SamLabeller.load(file, { sam, classes, patch: plan.part });
    const [slice, slices] = [patch[0] * patch[1], plan.part[2]];
    using window = Tensor.zeros("f32", [1, slices, patch[1], patch[0]]);
    for (const first of [0, patch[2] - slices]) {
      const [begin, end] = [first * slice, (first + slices) * slice];
      window.f32.set(crop.f32.subarray(begin, end));
      assert.deepEqual(
        (await part.logits(window)).f32,
        logits.subarray(classes * begin, classes * end),
        name,
      );
      using own = await part.labelCrops(window);
      assert.deepEqual(own.u8, labels.u8.subarray(begin, end), name);
    }
    assert.ok(new Set(labels.u8).size > 1, "one class alone proves nothing");
  });
