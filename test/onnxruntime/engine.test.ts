import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { plainPlan } from "../../src/data/preprocessing-plan.js";
import { DeviceError } from "../../src/errors.js";
import { Graph } from "../../src/graph/graph.js";
import { WeightSet } from "../../src/graph/weights.js";
import { segment } from "../../src/models/segmenter.js";
import { segmenters } from "../../src/models/segmenters.js";
import { chooseEngine } from "../../src/onnxruntime/engine.js";
import type { Machine } from "../../src/onnxruntime/machine.js";
import { saveSegmenter } from "../../src/predict/segmenter.js";
import { writeModelCard } from "../../src/run/model-card.js";
import { makeTinyModel } from "../batch/tiny-model.js";
import { sfr } from "../cli/sfr.js";
import { logitDifference } from "./logit-difference.js";
import { ways, withoutRuntime } from "./sessions.js";

const scratch = mkdtempSync(join(tmpdir(), "sfr-engine-"));
after(() => rmSync(scratch, { recursive: true }));

describe("logits of the native engine and of ONNX Runtime", { skip: withoutRuntime }, () => {
  const paths = { segmenter: join(scratch, "segmenter.safetensors"), SAM: "" };
  before(async () => {
    const weights = new WeightSet("student", 3);
    const graph = new Graph();
    const context = { graph, weights, training: false, updateStatistics: false };
    const x = graph.input("x", "f32", [1, 16, 32, 16, 1]);
    segment(segmenters.vnet, context, x, { filters: 4, classes: 3, dropout: 0 });
    await saveSegmenter(paths.segmenter, weights, {
      model: "vnet",
      filters: 4,
      classes: 3,
      channels: 1,
      patch: [16, 32, 16],
    });
    weights.dispose();
    await writeModelCard(paths.segmenter, {
      ...{ labelIds: [0, 1, 2], labelNames: {}, labelColors: {} },
      ...{ plan: plainPlan, channels: 1, samChannel: 0 },
    });
    paths.SAM = await makeTinyModel(scratch);
  });

  for (const name of ["segmenter", "SAM"] as const)
    for (const through of ways)
      it(`agree for a ${name}, through ${through === "c" ? "the C interface" : "onnxruntime-node"}`, async () => {
        // Sums in another order, as in the exporter's own check: 1e-5 after a ViT's blocks; a wrong axis shows at 1e-1.
        assert((await logitDifference(paths[name], through, 2)) < 1e-4);
      });

  it("keeps one file per weights, and no rest beside it", () => {
    const names = readdirSync(scratch).filter((file) => /^(\.onnx|segmenter\.(?!safetensors))/.test(file));
    assert.equal(names.length, 2, names.join());
    assert(names.some((name) => /^segmenter\.[0-9a-f]{12}\.onnx$/.test(name)));
    assert(names.some((name) => /^segmenter\.[0-9a-f]{12}\.parity\.json$/.test(name)));
  });
});

describe("choosing an engine", { skip: withoutRuntime }, () => {
  const machine = (table?: string): Machine => ({ root: scratch, env: {}, run: () => table });

  it("native, on the CPU where there is no library for a device", () => {
    const onCpu = { engine: { kind: "native" }, used: "native engine, cpu" };
    assert.deepEqual(chooseEngine({ engine: "native", device: "cpu" }), onCpu);
    process.env.SFR_CUDA_LIBRARY = "/nowhere/libsfr_cuda.so";
    const { fallback, ...rest } = chooseEngine({ engine: "native", device: "auto" });
    assert.deepEqual(rest, onCpu);
    assert.match(fallback ?? "", /^cuda: expected libsfr_cuda at \/nowhere/);
    const refused = () => chooseEngine({ engine: "native", device: { cuda: 1 } });
    assert.throws(refused, (error) => error instanceof DeviceError && /nowhere/.test(error.message));
  });

  it("ONNX Runtime on a CUDA device that is not there: refused, or the CPU with a reason", () => {
    const refused = () => chooseEngine({ engine: "onnx", device: { cuda: 0 } }, machine());
    assert.throws(refused, (error) => {
      assert(error instanceof DeviceError);
      assert.match(
        error.message,
        /^engine: expected CUDA device 0 for ONNX Runtime 1\.\d+\.\d+, received no CUDA provider beside \S+; see/,
      );
      return true;
    });
    const { engine, used, fallback } = chooseEngine({ engine: "onnx", device: "auto" }, machine());
    assert.equal(engine.kind === "onnx" && engine.cuda, undefined);
    assert.match(used, /^ONNX Runtime 1\.\d+\.\d+, cpu$/);
    assert.match(fallback ?? "", /^no CUDA provider beside \S+libonnxruntime\.so\.1$/);
    assert.equal(chooseEngine({ engine: "onnx", device: "cpu" }, machine()).fallback, undefined);
  });

  it("a card that the provider has no code for, by name", () => {
    const { fallback } = chooseEngine({ engine: "onnx", device: "auto" }, machine("0, NVIDIA B200, 10.0\n"));
    assert.equal(fallback, "NVIDIA B200 of compute capability 10.0, for which its provider has no code");
  });

  it("by flags: what is used is said; what cannot be had ends with code 5, a wrong word with 2", async () => {
    const call = (...words: string[]) => sfr("predict", scratch, "--weights", "none.safetensors", ...words);
    const [cuda, word, device] = await Promise.all([
      call("--engine", "onnx", "--device", "cuda:0"),
      call("--engine", "torch"),
      call("--device", "gpu"),
    ]);
    // No volume in the folder is found out first.
    assert.deepEqual([word.code, device.code], [2, 2]);
    assert.match(word.stderr, /--engine: expected one of native, onnx, received 'torch'/);
    assert.match(device.stderr, /--device: expected cpu, cuda, cuda:N or auto, received 'gpu'/);
    assert.equal(cuda.code, 5);
    assert.match(cuda.stderr, /^sfr: engine: expected CUDA device 0 .*received no CUDA provider beside/);
  });
});
