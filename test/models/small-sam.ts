import assert from "node:assert/strict";
import { join } from "node:path";
import { Graph } from "../../src/graph/graph.js";
import { type HostTensor, toFloat32 } from "../../src/io/host-tensor.js";
import type { SamConfig } from "../../src/models/sam/config.js";
import { SamNetwork, type SamTraining } from "../../src/models/sam/network.js";
import { weight } from "../oracle/inputs.js";

/** The network of test/fixtures/checkpoints; their LoRA file has rank 2 and 3 classes. */
const smallConfig: SamConfig = {
  ...{ width: 8, depth: 2, heads: 2, globalBlocks: [1], window: 2, canvas: 64, classes: 4 },
  ...{ decoderWidth: 16, decoderMlp: 8, iouHidden: 16 },
};

/** Path of a file that test/oracle/make-checkpoints.py wrote. */
export const checkpointFixture = (name: string): string => join("test", "fixtures", "checkpoints", name);

/** A described network; its weights wait for a file, and stay zero where none gives them. */
export function smallSam(
  change: Partial<SamConfig> = {},
  training: SamTraining = { kind: "all" },
  firstValues: "initialised" | "from-file" = "from-file",
): SamNetwork {
  const config = { ...smallConfig, ...change };
  const network = new SamNetwork(config, training, 5, { firstValues });
  const graph = new Graph();
  network.forward(graph, graph.input("canvas", "f32", [1, config.canvas, config.canvas]), false);
  return network;
}

/** Numbers below this are subnormal in f16, where the rounding no longer shrinks with the value. */
const leastNormal = 2 ** -14;

/** Names of tensors whose values are not those that the fixtures' script gave them, within a relative error. */
export function unlike(
  state: ReadonlyMap<string, HostTensor>,
  names: readonly string[],
  options: { error: number; seed?: number },
): string[] {
  return names.filter((name) => {
    const tensor = state.get(name) ?? assert.fail(`no tensor ${name}`);
    const expected = weight(name, tensor.shape, options.seed);
    return toFloat32(tensor).some((value, i) => {
      const target = expected[i] ?? Number.NaN;
      return !(Math.abs(value - target) <= options.error * Math.max(Math.abs(target), leastNormal));
    });
  });
}
