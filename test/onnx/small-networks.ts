/** Networks of every kind that can be exported, small, with values in all tensors. */
import { Graph, type Value } from "../../src/graph/graph.js";
import * as ops from "../../src/graph/ops.js";
import { WeightSet } from "../../src/graph/weights.js";
import { elementCount } from "../../src/io/host-tensor.js";
import type { SamConfig } from "../../src/models/sam/config.js";
import { SamNetwork, type SamTraining } from "../../src/models/sam/network.js";
import { segment } from "../../src/models/segmenter.js";
import { type SegmenterModel, segmenters } from "../../src/models/segmenters.js";
import type { ExportSpec } from "../../src/onnx/export.js";
import { fillWeights, normal } from "../oracle/inputs.js";

/** Windows that do not divide the grid of 6 x 6 tokens, so that there is padding; K = 3. */
const smallSam: SamConfig = {
  ...{ width: 24, depth: 3, heads: 3, globalBlocks: [1], window: 4, canvas: 96, classes: 3 },
  ...{ decoderWidth: 32, decoderMlp: 16, iouHidden: 8 },
};

/** A network to export and what to feed it. */
export interface SmallNetwork extends Disposable {
  readonly spec: ExportSpec;
  readonly name: string;
}

const everyLora: SamTraining = { kind: "lora", rank: 2, targets: ["q", "k", "v", "proj", "mlp"] };

/** SAM with what is added to its encoder; by default LoRA updates of every target. */
export function randomSam(config: SamConfig = smallSam, training = everyLora): SmallNetwork {
  const { canvas } = config;
  const network = new SamNetwork(config, training, 1, { firstValues: "from-file" });
  const forward = (graph: Graph, x: Value) =>
    network.forward(graph, ops.reshape(x, [x.dim(0), canvas, canvas]), false);
  makeWeights(forward, [1, canvas, canvas, 1]);
  fillWeights({ toState: () => network.toState(false), load: (state) => network.load(state) });
  return {
    name: training === everyLora ? "sam" : `sam-${training.kind}`,
    spec: specOf("SAM", "canvas", [canvas, canvas, 1], forward),
    [Symbol.dispose]: () => network.dispose(),
  };
}

/** A segmenter with 4 filters; K = 3. @param shape of a window: [z, y, x, channels] */
function randomSegmenter(model: SegmenterModel, shape: readonly number[] = [16, 48, 32, 1]): SmallNetwork {
  const weights = new WeightSet("student", 1);
  const forward = (graph: Graph, x: Value) =>
    segment(segmenters[model], { graph, weights, training: false, updateStatistics: false }, x, {
      ...{ filters: 4, classes: 3, dropout: 0 },
    });
  makeWeights(forward, [1, ...shape]);
  fillWeights(weights);
  return {
    name: model,
    spec: specOf(segmenters[model].title, "patch", shape, forward),
    [Symbol.dispose]: () => weights.dispose(),
  };
}

/** Every network that can be exported. */
export const smallNetworks = (): SmallNetwork[] => [
  randomSam(),
  randomSam(smallSam, { kind: "adapter", ratio: 0.25 }),
  ...(Object.keys(segmenters) as SegmenterModel[]).map((model) => randomSegmenter(model)),
  // Extents that are padded, and two channels.
  { ...randomSegmenter("vnet", [15, 33, 16, 2]), name: "vnet-odd" },
];

/** Input values of `count` samples. */
export function noise({ input }: ExportSpec, count = 1): Float32Array {
  return normal(`export/${input.name}`, [count * elementCount(input.shape)]);
}

/** Weights exist once a forward pass was described. */
function makeWeights(forward: ExportSpec["forward"], shape: readonly number[]): void {
  const graph = new Graph();
  forward(graph, graph.input("x", "f32", shape));
}

function specOf(
  title: string,
  name: string,
  shape: readonly number[],
  forward: ExportSpec["forward"],
): ExportSpec {
  const input = { name, shape, help: "as trained" };
  return {
    title,
    input,
    output: { name: "logits", help: "class scores" },
    forward,
    metadata: { "sfr.classes": "3" },
  };
}
