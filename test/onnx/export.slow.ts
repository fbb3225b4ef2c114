import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { writeFileAtomic } from "../../src/io/atomic-file.js";
import { samConfig } from "../../src/models/sam/config.js";
import { exportOnnx, onnxModel } from "../../src/onnx/export.js";
import { encodeModel } from "../../src/onnx/model.js";
import { onnxRuntime } from "../../src/onnxruntime/runtime.js";
import { noise, randomSam, smallNetworks } from "./small-networks.js";

const script = join(import.meta.dirname, "..", "..", "..", "test", "oracle", "check_onnx.py");

/** What check_onnx.py prints of a file. */
interface Face {
  opsets: Record<string, number>;
  producer: string;
  inputs: Record<string, (string | number)[]>;
  outputs: Record<string, (string | number)[]>;
  metadata: string[];
  ops: string[];
}

describe("export to ONNX, slow", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-onnx-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("gives vit_b's logits at 1024 x 1024", async () => {
    const runtime = onnxRuntime();
    using network = randomSam(samConfig("vit_b", 1024, 3));
    const test = { title: "noise", values: noise(network.spec) };
    const { parity } = await exportOnnx(network.spec, join(folder, "vit_b.onnx"), { test, runtime });
    // f32 rounding through twelve blocks and the decoder; 1.5e-6 was measured.
    assert.ok(parity !== null && parity.relativeError <= 1e-5, JSON.stringify(parity));
  });

  it("writes what ONNX's checker takes", async (context) => {
    const python = process.env.PYTHON ?? "python3";
    if (spawnSync(python, ["-c", "import onnx"]).status !== 0) {
      context.skip(`no onnx in ${python}; set PYTHON to an environment that has it`);
      return;
    }
    const paths: string[] = [];
    for (const network of smallNetworks()) {
      using owned = network;
      const path = join(folder, `${owned.name}.onnx`);
      const { model, data } = encodeModel(onnxModel(owned.spec), `${owned.name}.onnx.data`, 3e5);
      await writeFileAtomic(path, model);
      if (data !== undefined) await writeFileAtomic(`${path}.data`, data);
      paths.push(path);
    }
    const { status, stdout, stderr } = spawnSync(python, [script, ...paths], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const [sam, , vnet, unet] = JSON.parse(stdout) as Face[];
    assert.deepEqual(sam?.opsets, { "": 20 });
    assert.deepEqual(sam.inputs, { canvas: ["batch", 1, 96, 96] });
    assert.deepEqual(sam.outputs, { logits: ["batch", 3, 24, 24] });
    for (const face of [vnet, unet]) {
      assert.deepEqual(face?.inputs, { patch: ["batch", 1, 16, 48, 32] });
      assert.deepEqual(face.outputs, { logits: ["batch", 3, 16, 48, 32] });
      assert.deepEqual([face.producer, face.metadata], ["sfr", ["sfr.classes"]]);
      // Channels first from end to end.
      assert.ok(!face.ops.includes("Transpose"), face.ops.join());
    }
  });
});
