/** Labels by weights of 16 bits: a model's, a checkpoint's under LoRA updates, and a network that computes in bf16. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readImage } from "../../src/data/volume-file.js";
import { bf16Bits, type HostTensor, toFloat32 } from "../../src/io/host-tensor.js";
import { readSafetensors, writeSafetensors } from "../../src/io/safetensors.js";
import { sfr } from "../cli/sfr.js";
import { makeTinyModel, writeVolumes } from "./tiny-model.js";

/** Bits of f16, rounded towards zero; numbers below its least normal one become zero. */
function f16Bits(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) => {
    const sign = (word >>> 16) & 0x8000;
    const magnitude = ((word & 0x7fffffff) >>> 13) - (112 << 10);
    return sign | (magnitude < 1 << 10 ? 0 : magnitude);
  });
}

type Tensors = ReadonlyMap<string, HostTensor>;

const changed = (tensors: Tensors, change: (tensor: HostTensor) => HostTensor): Tensors =>
  new Map([...tensors].map(([name, tensor]) => [name, change(tensor)]));

describe("sfr pseudo-label with weights of 16 bits", () => {
  let root = "";
  let original: Awaited<ReturnType<typeof readSafetensors>>;
  const at = (name: string): string => join(root, name);
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "sfr-16-bits-"));
    original = await readSafetensors(join(await makeTinyModel(root), "finetune", "sam.safetensors"));
    await writeVolumes(at("in"), 2);
  });
  after(() => rm(root, { recursive: true }));

  async function succeed(...words: string[]): Promise<void> {
    const { code, stderr } = await sfr(...words, "--quiet");
    assert.equal(code, 0, stderr);
  }

  /** Content of the maps that a model gives; every voxel's confidence shows what labels alone would hide. */
  async function mapsBy(model: string): Promise<ArrayLike<number>[]> {
    const out = `${model}-labels`;
    await succeed("pseudo-label", "--model", at(model), "--input", at("in"), "--out", at(out));
    const files = ["case_000.nii.gz", "case_001.nii.gz"].map((name) => join(at(out), "confidence", name));
    return await Promise.all(files.map(async (file) => (await readImage(file)).data));
  }

  /** Fine-tunes by LoRA for no step: the network is the checkpoint's. */
  const tune = (run: string, checkpoint: string, ...words: string[]): Promise<void> =>
    succeed(
      ...["finetune", at("tiny.yaml"), "--out", at(run), "--sam-checkpoint", at(checkpoint)],
      ...["--sam-rank", "2", "--finetune-steps", "0", ...words],
    );

  for (const [dtype, bits] of [
    ["f16", f16Bits],
    ["bf16", bf16Bits],
  ] as const)
    it(`labels in ${dtype} are those of the same numbers in f32`, async () => {
      const short = changed(original.tensors, (tensor) => ({
        ...{ dtype, shape: tensor.shape, data: bits(toFloat32(tensor)) },
      }));
      const long = changed(short, (tensor) => ({
        ...{ dtype: "f32", shape: tensor.shape, data: toFloat32(tensor) },
      }));
      const [model, same] = [`${dtype}.safetensors`, `${dtype}-as-f32.safetensors`];
      await writeSafetensors(at(model), short, original.metadata);
      await writeSafetensors(at(same), long, original.metadata);
      const expected = await mapsBy(same);
      assert.deepEqual(await mapsBy(model), expected, "as a model");
      await tune(dtype, model);
      assert.deepEqual(await mapsBy(dtype), expected, "as a checkpoint");
    });

  it("a run in bf16 labels in bf16, close to f32", async () => {
    await writeSafetensors(at("whole.safetensors"), original.tensors);
    await tune("in-f32", "whole.safetensors");
    await tune("in-bf16", "whole.safetensors", "--precision", "bf16");
    const [f32, bf16] = [await mapsBy("in-f32"), await mapsBy("in-bf16")];
    const steps = f32.flatMap((map, i) =>
      Array.from(map, (value, at) => Math.abs(value - (bf16[i]?.[at] ?? 0))),
    );
    const mean = steps.reduce((sum, step) => sum + step, 0) / steps.length;
    // 8 bits of products move probabilities by some thousandths; another network's would be apart by tenths.
    assert.ok(mean > 0 && mean < 0.02, `confidences differ by ${mean} on average`);
  });
});
