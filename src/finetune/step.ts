import type { FinetuneSettings } from "../config/schema.js";
import { Graph, type Program } from "../graph/graph.js";
import { adamWDefaults, minimize, OptimizerState } from "../graph/optimizer.js";
import { type HostTensor, tensorsUnder } from "../io/host-tensor.js";
import { supervisedLoss } from "../losses/supervised.js";
import type { SamNetwork } from "../models/sam/network.js";
import { Tensor } from "../native/tensor.js";

const optimizerPrefix = "optimizer/";

/** One compiled fine-tuning step: forward, 0.5 (CE + Dice) at full resolution, backward, AdamW. */
export class FinetuneStep implements Disposable {
  /** f32 [N, S, S] and u8 [N, S, S]; filled by the caller. */
  readonly canvases: Tensor;
  readonly labels: Tensor;
  private readonly optimizer = new OptimizerState();
  private readonly program: Program<"loss" | "crossEntropy" | "dice">;

  constructor(
    private readonly network: SamNetwork,
    settings: FinetuneSettings,
    batch: number,
  ) {
    const side = network.config.canvas;
    const graph = new Graph();
    const canvases = graph.input("canvases", "f32", [batch, side, side]);
    const labels = graph.input("labels", "u8", [batch, side, side]);
    // The loss resizes the logits to the canvas row by row, as fullResolution() does.
    const { loss, crossEntropy, dice } = supervisedLoss(network.forward(graph, canvases, true), labels);
    minimize(
      graph,
      loss,
      network.parameters(),
      this.optimizer,
      { ...adamWDefaults, weightDecay: settings.weightDecay },
      graph.input("learningRate", "f32", []),
      graph.input("step", "f32", []),
    );
    const bf16Activations = network.precision === "bf16";
    this.program = graph.compile({ loss, crossEntropy, dice }, { bf16Activations, onDevice: true });
    this.canvases = Tensor.zeros("f32", canvases.shape);
    this.labels = Tensor.zeros("u8", labels.shape);
  }

  /** Runs step t (0-based) on the canvases. */
  async run(t: number, learningRate: number, signal?: AbortSignal): Promise<Record<string, number>> {
    const { canvases, labels } = this;
    const out = await this.program.run({ canvases, labels, learningRate, step: t + 1 }, signal);
    return { loss: out.loss.item, crossEntropy: out.crossEntropy.item, dice: out.dice.item, learningRate };
  }

  /** Nodes, memory and FLOPs of the step. */
  explain(): ReturnType<Program["explain"]> {
    return this.program.explain();
  }

  /** Memory that the steps take in addition to what the process holds now, bytes. */
  get addedBytes(): number {
    return this.program.addedBytes;
  }

  /** Memory of a checkpoint's copy of the weights, and of the one before that may not be collected yet, bytes. */
  get checkpointBytes(): number {
    const trained = this.network.parameters().reduce((total, { tensor }) => total + tensor.count, 0);
    return 2 * 4 * trained;
  }

  /** Everything a step changes, for a checkpoint; to be used before the next step, which changes some of it. */
  state(): Map<string, HostTensor> {
    const state = this.network.toState(true);
    for (const [name, tensor] of this.optimizer.toState()) state.set(optimizerPrefix + name, tensor);
    return state;
  }

  /** Takes back what state() gave. Throws DataError when it does not fit. */
  restore(state: ReadonlyMap<string, HostTensor>): void {
    this.network.load(state);
    this.optimizer.load(tensorsUnder(state, optimizerPrefix));
  }

  /** Forgets the optimiser's moments. */
  resetOptimizer(): void {
    this.optimizer.reset();
  }

  dispose(): void {
    this.program.dispose();
    this.optimizer.dispose();
    this.canvases.dispose();
    this.labels.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
