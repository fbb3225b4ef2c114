/** Our SAM with and without LoRA against segment-anything's numbers (test/fixtures/reference/README.md). */
import { join } from "node:path";
import { test } from "node:test";
import { readSafetensors } from "../../src/io/safetensors.js";
import { readWeights } from "../../src/io/weights-file.js";
import { checkForward, checkTraining, type SamReference, smallSam } from "./reference-sam.js";

const folder = join(import.meta.dirname, "..", "..", "..", "test", "fixtures", "reference");

async function twoClasses(): Promise<SamReference> {
  const path = (file: string) => join(folder, "sam-small-k2", file);
  const { tensors } = await readSafetensors(path("expected.safetensors"));
  const [weights, lora] = [await readWeights(path("weights.pth")), await readWeights(path("lora.pth"))];
  return { config: smallSam(2), weights, lora, expected: tensors };
}

async function fiveClasses(): Promise<SamReference> {
  const read = async (file: string) => (await readSafetensors(join(folder, "sam-small-k5", file))).tensors;
  const [weights, lora] = [await read("weights.safetensors"), await read("lora.safetensors")];
  return { config: smallSam(5), weights, lora, expected: await read("expected.safetensors") };
}

test("embedding, logits and masks equal segment-anything", async () => checkForward(await twoClasses()));

test("LoRA: logits, first gradients and six AdamW steps equal the authors' code", async () =>
  checkTraining(await twoClasses()));

test("five classes: embedding, logits and masks equal segment-anything", async () =>
  checkForward(await fiveClasses()));

test("five classes with LoRA: logits, first gradients and six AdamW steps equal the authors' code", async () =>
  checkTraining(await fiveClasses()));
