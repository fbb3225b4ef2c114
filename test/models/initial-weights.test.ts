/** Weights of a network that nothing was loaded into: PyTorch's defaults, and SAM's own for tokens and tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Graph } from "../../src/graph/graph.js";
import { WeightSet } from "../../src/graph/weights.js";
import type { HostTensor } from "../../src/io/host-tensor.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import { samConfig } from "../../src/models/sam/config.js";
import { SamNetwork } from "../../src/models/sam/network.js";
import { segment } from "../../src/models/segmenter.js";
import { vnet } from "../../src/models/vnet.js";

type State = ReadonlyMap<string, HostTensor>;

function valuesOf(state: State, name: string): Float32Array {
  return toFloat32(state.get(name) ?? assert.fail(`no tensor ${name}`));
}

function moments(values: Float32Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, deviation: Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length) };
}

/** U(-b, b) with b = 1/sqrt(fanIn): what kaiming_uniform with a = sqrt(5) comes to. */
function checkUniform(state: State, name: string, fanIn: number): void {
  const values = valuesOf(state, name);
  const bound = 1 / Math.sqrt(fanIn);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  // f32 rounds the bound by 6e-8 of it; of 32 draws one is beyond 0.7 of it but for a chance of 1e-5.
  assert.ok(largest <= bound * (1 + 1e-6) && largest > 0.7 * bound, `${name}: ${largest} of ${bound}`);
  const { mean, deviation } = moments(values);
  // Five standard errors of the mean; the deviation of a uniform is bound / sqrt(3).
  assert.ok(Math.abs(mean) < (5 * bound) / Math.sqrt(3 * values.length), `${name}: mean ${mean}`);
  if (values.length > 1000) assert.ok(Math.abs(deviation * Math.sqrt(3) - bound) < 0.05 * bound, name);
}

test("SAM: linear and convolution layers as in PyTorch, tokens N(0, 1), tables 0, norms 1 and 0", () => {
  using network = new SamNetwork(samConfig("tiny", 256, 3), { kind: "all" }, 1);
  const graph = new Graph();
  network.forward(graph, graph.input("canvas", "f32", [1, 256, 256]), true);
  const state = network.toState(false);
  const fanIns: Readonly<Record<string, number>> = {
    "image_encoder.patch_embed.proj": 3 * 16 * 16,
    "image_encoder.blocks.0.attn.qkv": 96,
    "image_encoder.blocks.3.mlp.lin2": 4 * 96,
    "mask_decoder.transformer.layers.0.cross_attn_token_to_image.out_proj": 128,
    // PyTorch takes the second axis of a transposed kernel [in, out, 2, 2] for the fan-in.
    "mask_decoder.output_upscaling.0": 64 * 4,
    "mask_decoder.output_hypernetworks_mlps.2.layers.2": 256,
  };
  for (const [name, fanIn] of Object.entries(fanIns))
    for (const part of ["weight", "bias"]) checkUniform(state, `${name}.${part}`, fanIn);
  checkUniform(state, "image_encoder.neck.0.weight", 96);
  checkUniform(state, "image_encoder.neck.2.weight", 256 * 9);
  for (const name of ["mask_tokens", "iou_token"]) {
    const { mean, deviation } = moments(valuesOf(state, `mask_decoder.${name}.weight`));
    // Five standard errors of 256 draws.
    assert.ok(Math.abs(mean) < 0.32 && Math.abs(deviation - 1) < 0.23, `${name}: ${mean} ${deviation}`);
  }
  const tables = [...state.keys()].filter((name) => /pos_embed|rel_pos/.test(name));
  assert.equal(tables.length, 1 + 2 * 4);
  for (const name of tables)
    assert.ok(
      valuesOf(state, name).every((value) => value === 0),
      name,
    );
  assert.ok(valuesOf(state, "image_encoder.blocks.1.norm1.weight").every((value) => value === 1));
  assert.ok(valuesOf(state, "image_encoder.blocks.1.norm1.bias").every((value) => value === 0));
});

test("V-Net: convolutions as in PyTorch, batch-norms 1 and 0", () => {
  const weights = new WeightSet("student", 1);
  const graph = new Graph();
  const x = graph.input("x", "f32", [1, 16, 16, 16, 1]);
  const context = { graph, weights, training: true, updateStatistics: true };
  segment(vnet, context, x, { filters: 8, classes: 2, dropout: 0 });
  const state = weights.toState();
  const fanIns: Readonly<Record<string, number>> = {
    "block_one.conv.0": 27,
    "block_two_dw.conv.0": 16 * 8,
    "block_five.conv.3": 128 * 27,
    "block_five_up.conv.0": 64 * 8,
  };
  for (const [name, fanIn] of Object.entries(fanIns)) checkUniform(state, `${name}.weight`, fanIn);
  assert.ok(valuesOf(state, "block_one.conv.1.running_var").every((value) => value === 1));
  weights.dispose();
});
