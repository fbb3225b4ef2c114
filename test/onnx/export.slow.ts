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

const python = process.env.PYTHON ?? "python3";
const haveChecker = spawnSync(python, ["-c", "import onnx"]).status === 0;

/** What check_onnx.py prints of a file. */
interface Face {
  opsets: Record<string, number>;
  producer: string;
  inputs: Record<string, (string | number)[]>;
  outputs: Record<string, (string | number)[]>;
  metadata: string[];
  ops: string[];
}

function check(paths: readonly string[]): Face[] {
  const { status, stdout, stderr } = spawnSync(python, [script, ...paths], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Face[];
}

describe("export to ONNX, slow", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-onnx-"));
  });
  after(() => rm(folder, { recursive: true }));

  for (const { size, files } of [
    { size: "vit_b", files: ["vit_b.parity.json", "vit_b.onnx"] },
    // More than the 2 GB that one file of ONNX can hold.
    { size: "vit_h", files: ["vit_h.onnx.data", "vit_h.parity.json", "vit_h.onnx"] },
  ] as const)
    it(`gives ${size}'s logits at 1024 x 1024`, async (context) => {
      using network = randomSam(samConfig(size, 1024, 3));
      const test = { title: "noise", values: noise(network.spec) };
      const path = join(folder, `${size}.onnx`);
      const written = await exportOnnx(network.spec, path, { test, runtime: onnxRuntime() });
      assert.deepEqual(
        written.files,
        files.map((name) => join(folder, name)),
      );
      const { parity } = written;
      context.diagnostic(`largest difference ${parity?.relativeError.toExponential(1)} of the largest logit`);
      // f32 rounding through twelve or 32 blocks and the decoder; 1.5e-6 was measured for vit_b.
      assert.ok(parity !== null && parity.relativeError <= 1e-5, JSON.stringify(parity));
      if (haveChecker) assert.deepEqual(check([path])[0]?.outputs, { logits: ["batch", 3, 256, 256] });
    });

  it("writes what ONNX's checker takes", async (context) => {
    if (!haveChecker) {
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
    const [sam, , vnet, unet] = check(paths);
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
