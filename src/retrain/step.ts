import type { RetrainSettings, SegmenterSettings, Voxels } from "../config/schema.js";
import { Graph, type Program, type Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { minimize, OptimizerState } from "../graph/optimizer.js";
import { WeightSet } from "../graph/weights.js";
import type { HostTensor } from "../io/host-tensor.js";
import { vnet } from "../models/vnet.js";
import { Tensor } from "../native/tensor.js";
import type { Method } from "./methods/method.js";
import { learningRate } from "./schedule.js";

/** What a training step is built from. */
export interface StepOptions {
  method: Method;
  segmenter: SegmenterSettings;
  settings: RetrainSettings;
  /** K, background included. */
  classes: number;
  patch: Voxels;
  /** Whether unlabelled crops come with pseudo-labels. */
  pseudoLabels: boolean;
  seed: number;
}

/** The batch of one step; tensors are filled by the caller. */
export interface StepBatch {
  /** f32 [N, D, H, W, 1], labelled crops first. */
  images: Tensor;
  /** u8 [labelled, D, H, W]. */
  labels: Tensor;
  /** u8 [unlabelled, D, H, W]. */
  pseudoLabels: Tensor | undefined;
}

/**
 * One compiled re-training step: forward, losses, backward, SGD and the method's own updates are a single native call.
 */
export class RetrainStep implements Disposable {
  readonly batch: StepBatch;
  readonly student: WeightSet;
  private readonly networks = new Map<string, WeightSet>();
  private readonly optimizer = new OptimizerState();
  private readonly scalars = new Map<string, (t: number) => number>();
  private readonly rng = Tensor.zeros("i32", [3]);
  private readonly program: Program;

  constructor(private readonly options: StepOptions) {
    const { method, settings, patch, classes } = options;
    const labelled = settings.labelledBatch;
    const unlabelled = method.usesUnlabelled ? settings.unlabelledBatch : 0;
    const extents = [patch[2], patch[1], patch[0]];
    this.student = this.network("student");
    const graph = new Graph();
    const images = graph.input("images", "f32", [labelled + unlabelled, ...extents, 1]);
    const labels = graph.input("labels", "u8", [labelled, ...extents]);
    const withPseudoLabels = options.pseudoLabels && unlabelled > 0;
    const pseudoLabels = withPseudoLabels
      ? graph.input("pseudoLabels", "u8", [unlabelled, ...extents])
      : undefined;
    const rng = graph.input("rng", "i32", [3]);
    const scalar = (name: string, at: (t: number) => number): Value => {
      this.scalars.set(name, at);
      return graph.input(name, "f32", []);
    };
    const config = { filters: options.segmenter.filters, dropout: options.segmenter.dropout, classes };
    const losses = method.losses({
      graph,
      images,
      labels,
      pseudoLabels,
      labelled,
      unlabelled,
      noise: (name, shape, { scale, limit }) => ops.gaussianNoise(rng, shape, scale, limit, name),
      settings,
      student: this.student,
      network: (name) => this.network(name),
      forward: (weights, x) =>
        vnet({ graph, weights, training: true, updateStatistics: true, rng }, x, config),
      scalar,
    });
    minimize(
      graph,
      losses.total,
      this.student.withRole("parameter"),
      this.optimizer,
      { kind: "sgd", momentum: settings.momentum, weightDecay: settings.weightDecay },
      scalar("learningRate", (t) => learningRate(t, settings)),
      scalar("step", (t) => t + 1),
    );
    losses.afterUpdate?.();
    this.program = graph.compile({ loss: losses.total, ...losses.terms });
    this.batch = {
      images: Tensor.zeros("f32", images.shape),
      labels: Tensor.zeros("u8", labels.shape),
      pseudoLabels: pseudoLabels && Tensor.zeros("u8", pseudoLabels.shape),
    };
  }

  private network(name: string): WeightSet {
    let weights = this.networks.get(name);
    if (weights === undefined) {
      weights = new WeightSet(name, this.options.seed);
      this.networks.set(name, weights);
    }
    return weights;
  }

  /** Runs step t (0-based) on the batch and returns its losses and scalars. */
  async run(t: number, signal?: AbortSignal): Promise<Record<string, number>> {
    const { seed } = this.options;
    this.rng.data.set([seed | 0, Math.floor(seed / 2 ** 32) | 0, t]);
    const { images, labels, pseudoLabels } = this.batch;
    const scalars = Object.fromEntries([...this.scalars].map(([name, at]) => [name, at(t)]));
    const inputs = { images, labels, ...(pseudoLabels ? { pseudoLabels } : {}), rng: this.rng, ...scalars };
    const outputs = await this.program.run(inputs, signal);
    const record: Record<string, number> = { learningRate: scalars.learningRate ?? 0 };
    for (const [name, tensor] of Object.entries<Tensor>(outputs)) record[name] = tensor.item;
    return record;
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
    const values = [...this.networks.values()].reduce(
      (total, { parameterCount }) => total + parameterCount,
      0,
    );
    return 2 * 4 * values;
  }

  /** Everything a step changes, for a checkpoint; to be used before the next step, which changes some of it. */
  state(): Map<string, HostTensor> {
    const state = new Map<string, HostTensor>();
    for (const weights of this.networks.values())
      for (const [name, tensor] of weights.toState()) state.set(`${weights.name}/${name}`, tensor);
    for (const [name, tensor] of this.optimizer.toState()) state.set(`optimizer/${name}`, tensor);
    return state;
  }

  /** Takes back what state() gave. Throws DataError when it does not fit. */
  restore(state: ReadonlyMap<string, HostTensor>): void {
    const part = (prefix: string) =>
      new Map(
        [...state]
          .filter(([name]) => name.startsWith(prefix))
          .map(([name, t]) => [name.slice(prefix.length), t]),
      );
    for (const weights of this.networks.values()) weights.load(part(`${weights.name}/`));
    this.optimizer.load(part("optimizer/"));
  }

  dispose(): void {
    this.program.dispose();
    this.optimizer.dispose();
    for (const weights of this.networks.values()) weights.dispose();
    this.batch.images.dispose();
    this.batch.labels.dispose();
    this.batch.pseudoLabels?.dispose();
    this.rng.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
