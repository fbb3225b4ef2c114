import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Graph } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { writeFileAtomic } from "../../src/io/atomic-file.js";
import { Tensor } from "../../src/native/tensor.js";
import { type ExportSpec, exportOnnx, onnxModel } from "../../src/onnx/export.js";
import { batchMark } from "../../src/onnx/lowering.js";
import { lowerings } from "../../src/onnx/lowerings.js";
import { encodeModel } from "../../src/onnx/model.js";
import { measureParity } from "../../src/onnx/parity.js";
import { onnxRuntime } from "../../src/onnxruntime/runtime.js";
import { noise, randomSam, smallNetworks } from "./small-networks.js";

/** Both sides add up f32 products of networks this small in another order: some 1e-6 of the largest logit. */
const bound = 1e-5;
/** MagicNet's norms divide by the deviations of few voxels: the rounding of its input alone moves its logits by 2e-5. */
const boundOf = (name: string) => (name === "magicnet" ? 5e-5 : bound);

const one = { threads: 1 };

/** A network without weights. */
function specOf(forward: ExportSpec["forward"]): ExportSpec {
  const input = { name: "x", shape: [4, 4, 2], help: "anything" };
  return { title: "small", input, output: { name: "y", help: "the result" }, forward, metadata: {} };
}

async function nativeLogits(spec: ExportSpec, shape: readonly number[], values: Float32Array) {
  const graph = new Graph();
  using program = graph.compile({ logits: spec.forward(graph, graph.input("x", "f32", shape)) });
  using x = Tensor.from("f32", shape, values);
  const { logits } = await program.run({ x });
  return { name: spec.output.name, shape: logits.shape, data: Float32Array.from(logits.f32) };
}

describe("export to ONNX", () => {
  const runtime = onnxRuntime();
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "sfr-onnx-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("gives the native engine's logits in ONNX Runtime, for any batch size", async () => {
    for (const network of smallNetworks()) {
      using owned = network;
      const { spec, name } = owned;
      const path = join(folder, `${name}.onnx`);
      const test = { title: "noise", values: noise(spec) };
      const { parity, files } = await exportOnnx(spec, path, { test, runtime });
      assert.deepEqual(files, [join(folder, `${name}.parity.json`), path]);
      assert.ok(
        parity !== null && parity.relativeError <= boundOf(name),
        `${name}: ${JSON.stringify(parity)}`,
      );
      assert.ok(parity.equalArgmax > 0.999, `${name}: ${JSON.stringify(parity)}`);
      const written: unknown = JSON.parse(await readFile(join(folder, `${name}.parity.json`), "utf8"));
      assert.deepEqual(written, parity);

      const shape = [3, ...spec.input.shape];
      const input = { name: spec.input.name, shape, data: noise(spec, 3) };
      const logits = await nativeLogits(spec, shape, input.data);
      const three = await measureParity(runtime, path, { title: "three", input, logits, bound }, one);
      assert.ok(three.relativeError <= boundOf(name), `${name}: ${JSON.stringify(three)}`);
    }
  });

  it("has a lowering for each op of the networks, and none that no network uses", () => {
    const used = new Set<string>();
    for (const network of smallNetworks()) {
      using owned = network;
      const { input, forward } = owned.spec;
      const graph = new Graph();
      const seen = new Set<number>();
      const pending = [forward(graph, graph.input("x", "f32", [batchMark, ...input.shape]))];
      for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
        const origin = graph.origin(value);
        if (seen.has(value.id) || origin.kind !== "node") continue;
        seen.add(value.id);
        used.add(origin.node.op);
        for (const before of origin.node.inputs) if (before !== undefined) pending.push(before);
      }
    }
    assert.deepEqual([...used].sort(), Object.keys(lowerings).sort());
  });

  it("names an op that it cannot write", () => {
    assert.throws(() => onnxModel(specOf((_, x) => ops.exp(x))), {
      name: "UsageError",
      message:
        /^onnx: expected ops among \(add, .*slice, space_to_depth, strided_conv3d, transposed_conv3d\), received exp at ''; add its lowering/,
    });
  });

  it("writes nothing when the results differ", async () => {
    let calls = 0;
    // The file gets another function than the native engine.
    const spec = specOf((_, x) => (calls++ === 0 ? ops.relu(x) : ops.gelu(x)));
    const test = { title: "noise", values: noise(spec) };
    await assert.rejects(exportOnnx(spec, join(folder, "wrong.onnx"), { test, runtime }), {
      name: "SfrError",
      message: /^parity: expected logits within 1\.0e-4 .*, received .*; nothing was written$/,
    });
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.includes("wrong")),
      [],
    );
  });

  it("does not compare, but writes, without ONNX Runtime", async () => {
    const spec = specOf((_, x) => ops.relu(x));
    const path = join(folder, "unchecked.onnx");
    const test = { title: "noise", values: noise(spec) };
    const { parity, files } = await exportOnnx(spec, path, { test, runtime: undefined });
    assert.equal(parity, null);
    assert.deepEqual(files, [path]);
  });

  it("leaves files that exist as they are", async () => {
    const spec = specOf((_, x) => ops.relu(x));
    const test = { title: "noise", values: noise(spec) };
    for (const name of ["old.onnx", "old.onnx.data", "old.parity.json"]) {
      await writeFile(join(folder, name), "mine");
      await assert.rejects(exportOnnx(spec, join(folder, "old.onnx"), { test, runtime }), {
        name: "UsageError",
        message: /expected a new file for --out, received one that exists/,
      });
      assert.equal(await readFile(join(folder, name), "utf8"), "mine");
      await rm(join(folder, name));
    }
  });

  it("gives the same piece by piece, for any batch size", async () => {
    using network = randomSam();
    const { spec } = network;
    const whole = onnxModel(spec);
    const cut = onnxModel(spec, 500);
    const counts = (op: string) =>
      [whole, cut].map(({ nodes }) => nodes.filter((node) => node.op === op).length);
    // 3 heads of the grid in 3 parts of their rows, and in two blocks 3 of 4 windows in 4 parts.
    const [few = 0, many = 0] = counts("Softmax");
    assert.equal(many - few, 3 * 3 - 1 + 2 * (3 * 4 - 1));
    // 36 tokens of 4 * 24 hidden channels in 9 parts, in each of 3 blocks.
    const [before = 0, after = 0] = counts("Gelu");
    assert.equal(after - before, 3 * (9 - 1));
    const path = join(folder, "pieces.onnx");
    await writeFileAtomic(path, encodeModel(cut, "none").model);
    for (const samples of [1, 2]) {
      const input = {
        name: spec.input.name,
        shape: [samples, ...spec.input.shape],
        data: noise(spec, samples),
      };
      const logits = await nativeLogits(spec, input.shape, input.data);
      const parity = await measureParity(runtime, path, { title: "noise", input, logits, bound }, one);
      assert.ok(parity.relativeError <= bound, JSON.stringify(parity));
    }
  });

  it("puts weights beyond the limit of one file beside it", async () => {
    using network = randomSam();
    const { spec } = network;
    const { model, data } = encodeModel(onnxModel(spec), "outside.onnx.data", 1e4);
    const path = join(folder, "outside.onnx");
    await writeFileAtomic(path, model);
    await writeFileAtomic(`${path}.data`, data ?? assert.fail("no data file"));
    assert.ok((await readFile(path)).length < 1e5);
    const input = { name: spec.input.name, shape: [1, ...spec.input.shape], data: noise(spec) };
    const logits = await nativeLogits(spec, input.shape, input.data);
    const parity = await measureParity(runtime, path, { title: "noise", input, logits, bound }, one);
    assert.ok(parity.relativeError <= bound, JSON.stringify(parity));
  });
});
