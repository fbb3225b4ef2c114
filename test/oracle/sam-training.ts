/** A SAM against PyTorch: logits, gradients and the steps of a real fine-tuning. */
import { finetuneSettings } from "../../src/config/schema.js";
import { gapClass } from "../../src/data/label-table.js";
import { FinetuneStep } from "../../src/finetune/step.js";
import { Graph } from "../../src/graph/graph.js";
import { toFloat32 } from "../../src/io/host-tensor.js";
import type { SamConfig } from "../../src/models/sam/config.js";
import { SamNetwork, type SamTraining } from "../../src/models/sam/network.js";
import { permute } from "./axes.js";
import { gradientsByName, part, travelled } from "./file-order.js";
import { Golden } from "./golden.js";
import { checkerLabel, fillWeights, image, markSome, type Stateful } from "./inputs.js";

const settings = finetuneSettings.parse({});
/** Of step t: a warm-up that has not ended. */
const learningRate = (t: number) => 1e-4 * (t + 1);
/** Key biases: softmax does not see a constant added to all scores of a query. */
const keyBias = /(qkv\.bias\[key\]|k_proj\.bias)$/;

/** Gradients of the first step: a tenth of each is AdamW's first moment after it. */
function firstGradients(step: FinetuneStep, network: SamNetwork, stateful: Stateful) {
  const moments = part(step.state(), "optimizer/first/");
  return gradientsByName(stateful, network.parameters(), (name) => {
    const moment = moments.get(name);
    return moment && toFloat32(moment).map((value) => value / 0.1);
  });
}

/** How far results may be from a golden, relative to its norm. */
export interface SamBounds {
  readonly logits: number;
  readonly gradients: number;
}

/** Trains on two canvases for as many steps as the golden `name` has, and compares what it keeps. */
export async function compareSamTraining(
  name: string,
  config: SamConfig,
  training: SamTraining,
  bounds: SamBounds,
): Promise<void> {
  const golden = await Golden.read(name);
  const shape = [2, config.canvas, config.canvas];
  using network = new SamNetwork(config, training, 0);
  using step = new FinetuneStep(network, settings, 2);
  const stateful: Stateful = {
    toState: () => network.toState(false),
    load: (state) => network.load(state),
  };
  fillWeights(stateful, { calm: true });
  const start = stateful.toState();
  const labels = checkerLabel(shape, config.classes, 16);
  step.canvases.f32.set(image("canvas", labels, shape));
  step.labels.u8.set(markSome(labels, 2, gapClass));

  const graph = new Graph();
  const canvas = graph.input("canvas", "f32", shape);
  using forward = graph.compile({ logits: network.forward(graph, canvas, false) });
  const logits = async () => {
    const out = (await forward.run({ canvas: step.canvases })).logits;
    return permute(out.f32, out.shape, [0, 3, 1, 2]);
  };
  golden.check("logits", await logits(), bounds.logits);

  const rows: number[][] = [];
  while (rows.length < golden.losses().length) {
    const { loss = 0, crossEntropy = 0, dice = 0 } = await step.run(rows.length, learningRate(rows.length));
    rows.push([loss, crossEntropy, dice]);
    if (rows.length > 1) continue;
    const gradients = firstGradients(step, network, stateful);
    golden.checkAll("grad", (tensor) => gradients.get(tensor), bounds.gradients);
  }
  const trained = network.parameters().map((parameter) => parameter.name);
  golden.checkNames("travel", trained, keyBias);
  golden.checkLosses(rows, "spread", 2);
  const final = stateful.toState();
  golden.checkAll("travel", (tensor) => travelled(start, final, tensor), 1e-3); // the project's bound
  golden.check("logits_after", await logits(), 3 * golden.disagreement("logits_after").largest);
}
