import type { RetrainSettings, SegmenterSettings, Voxels } from "../config/schema.js";
import { UsageError } from "../errors.js";
import { Graph, type Program, type Value } from "../graph/graph.js";
import * as ops from "../graph/ops.js";
import { minimize, OptimizerState } from "../graph/optimizer.js";
import { RandomStream } from "../graph/random.js";
import { WeightSet } from "../graph/weights.js";
import { type HostTensor, tensorsUnder } from "../io/host-tensor.js";
import { segmenters } from "../models/segmenters.js";
import type { Precision } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import type { Method, StepContext, StepLosses } from "./methods/method.js";
import { networkPasses } from "./network-passes.js";
import { learningRate } from "./schedule.js";

/** What a training step is built from. */
export interface StepOptions {
  method: Method;
  segmenter: SegmenterSettings;
  settings: RetrainSettings;
  /** K, background included. */
  classes: number;
  patch: Voxels;
  /** Of the images; default 1. */
  channels?: number;
  /** Whether unlabelled crops come with pseudo-labels: all or none, or in each step as many as run() is told. */
  pseudoLabels: boolean | "some";
  /** In which activations wait for the backward pass, or on a device are stored; default f32. */
  precision?: Precision;
  seed: number;
  /** Learning rate of step t; absent: the schedule of the settings. */
  learningRate?: (t: number) => number;
}

/** The batch of one step; tensors are filled by the caller. */
export interface StepBatch {
  /** f32 [N, D, H, W, channels], labelled crops first. */
  images: Tensor;
  /** u8 [labelled, D, H, W]. */
  labels: Tensor;
  /** u8 [unlabelled, D, H, W]. */
  pseudoLabels: Tensor | undefined;
}

/** Steps with the same losses. */
interface Phase {
  /** Its first step. */
  begin: number;
  usesUnlabelled: boolean;
  /** By the number of unlabelled crops with pseudo-labels, which rises. */
  steps: ReadonlyMap<number, CompiledStep>;
}

interface CompiledStep {
  program: Program;
  /** Scalar inputs by name; t counts from the phase's first step. */
  scalars: ReadonlyMap<string, (t: number, random: RandomStream) => number>;
}

/** What a phase is compiled from. */
interface PhaseDescription {
  begin: number;
  /** `steps` are those of the phase. */
  settings: RetrainSettings;
  losses(step: StepContext): StepLosses;
  usesUnlabelled: boolean;
  learningRate(t: number, settings: RetrainSettings): number;
}

/**
 * One compiled re-training step: forward, losses, backward, SGD and the method's own updates are a single native call. A
 * method with a warm-up has two, which take turns over the training.
 */
export class RetrainStep implements Disposable {
  readonly batch: StepBatch;
  readonly student: WeightSet;
  /** Every network of the step, by name. */
  readonly networks = new Map<string, WeightSet>();
  private readonly optimizer = new OptimizerState();
  private readonly rng = Tensor.zeros("i32", [3]);
  private readonly phases: readonly Phase[];

  constructor(private readonly options: StepOptions) {
    const { method, settings, patch, channels = 1 } = options;
    const extents = [patch[2], patch[1], patch[0]];
    const unlabelled = method.usesUnlabelled ? settings.unlabelledBatch : 0;
    const labels = (count: number) => Tensor.zeros("u8", [count, ...extents]);
    this.batch = {
      images: Tensor.zeros("f32", [settings.labelledBatch + unlabelled, ...extents, channels]),
      labels: labels(settings.labelledBatch),
      pseudoLabels: options.pseudoLabels && unlabelled > 0 ? labels(unlabelled) : undefined,
    };
    this.student = this.network("student");
    this.phases = describePhases(method, settings).map((phase) => {
      const counts = phase.usesUnlabelled ? this.pseudoLabelCounts : [0];
      const steps = new Map(counts.map((count) => [count, this.compile(phase, count)]));
      return { begin: phase.begin, usesUnlabelled: phase.usesUnlabelled, steps };
    });
    const { segmenter, classes } = options;
    segmenters[segmenter.model].completeFile?.(this.student, { ...segmenter, classes });
  }

  /** How many unlabelled crops of a step may have pseudo-labels. */
  private get pseudoLabelCounts(): number[] {
    const most = this.batch.pseudoLabels?.shape[0] ?? 0;
    return this.options.pseudoLabels === "some" ? Array.from({ length: most + 1 }, (_, i) => i) : [most];
  }

  /** @param pseudoLabelled number of unlabelled crops with pseudo-labels */
  private compile(
    { settings, losses, begin, learningRate: rate }: PhaseDescription,
    pseudoLabelled: number,
  ): CompiledStep {
    const graph = new Graph();
    const scalars = new Map<string, (t: number, random: RandomStream) => number>();
    const scalar = (name: string, at: (t: number, random: RandomStream) => number): Value => {
      scalars.set(name, at);
      return graph.input(name, "f32", []);
    };
    const { segmenter, classes } = this.options;
    const { labels } = this.batch;
    const images = graph.input("images", "f32", this.batch.images.shape);
    const rng = graph.input("rng", "i32", [3]);
    const terms = losses({
      graph,
      images,
      labels: graph.input("labels", "u8", labels.shape),
      pseudoLabels: this.pseudoLabelInput(graph, pseudoLabelled),
      labelled: labels.shape[0] ?? 0,
      unlabelled: (images.shape[0] ?? 0) - (labels.shape[0] ?? 0),
      noise: (name, shape, { scale, limit }) => ops.gaussianNoise(rng, shape, scale, limit, name),
      rng,
      settings,
      student: this.student,
      network: (name) => this.network(name),
      ...networkPasses(segmenters[segmenter.model], { ...segmenter, classes }, images, rng),
      scalar,
    });
    minimize(
      graph,
      terms.total,
      (terms.trained ?? [this.student]).flatMap((weights) =>
        weights
          .withRole("parameter")
          .map(({ name, tensor }) => ({ name: `${weights.name}/${name}`, tensor })),
      ),
      this.optimizer,
      { kind: "sgd", momentum: settings.momentum, weightDecay: settings.weightDecay },
      scalar("learningRate", (t) => this.options.learningRate?.(begin + t) ?? rate(t, settings)),
      scalar("step", (t) => t + 1),
    );
    terms.afterUpdate?.();
    const bf16 = this.options.precision === "bf16";
    const options = { keepBf16: bf16, bf16Activations: bf16, onDevice: true };
    return {
      program: graph.compile({ loss: terms.total, ...terms.terms }, options),
      scalars,
    };
  }

  /** Pseudo-labels of the first `count` unlabelled crops. */
  private pseudoLabelInput(graph: Graph, count: number): Value | undefined {
    if (this.batch.pseudoLabels === undefined || count === 0) return undefined;
    const { shape } = this.batch.pseudoLabels;
    const all = graph.input("pseudoLabels", "u8", shape);
    return count === shape[0] ? all : ops.slice(all, 0, 0, count);
  }

  private network(name: string): WeightSet {
    let weights = this.networks.get(name);
    if (weights === undefined) {
      weights = new WeightSet(name, this.options.seed);
      this.networks.set(name, weights);
    }
    return weights;
  }

  /** The phase that step t belongs to. */
  private phaseAt(t: number): Phase {
    const phase = this.phases.findLast(({ begin }) => begin <= t);
    if (phase === undefined) throw new UsageError(`retrain: expected a step from 0 on, received ${t}`);
    return phase;
  }

  /** Whether step t reads the unlabelled part of the batch. */
  usesUnlabelled(t: number): boolean {
    return this.phaseAt(t).usesUnlabelled;
  }

  /**
   * Runs step t (0-based) on the batch and returns its losses and scalars.
   *
   * @param pseudoLabelled number of unlabelled crops with pseudo-labels, the first ones; default: all or none
   */
  async run(t: number, signal?: AbortSignal, pseudoLabelled?: number): Promise<Record<string, number>> {
    const { seed } = this.options;
    const phase = this.phaseAt(t);
    if (t > 0 && t === phase.begin) this.handOver();
    this.rng.data.set([seed | 0, Math.floor(seed / 2 ** 32) | 0, t]);
    const { images, labels, pseudoLabels } = this.batch;
    const count = phase.usesUnlabelled ? (pseudoLabelled ?? pseudoLabels?.shape[0] ?? 0) : 0;
    const step = phase.steps.get(count);
    if (step === undefined)
      throw new UsageError(
        `retrain: expected one of ${[...phase.steps.keys()].join(", ")} for pseudoLabelled, received ${count}`,
      );
    const scalars = Object.fromEntries(
      [...step.scalars].map(([name, at]) => [name, at(t - phase.begin, new RandomStream(seed, t, name))]),
    );
    const given = count > 0 && pseudoLabels !== undefined ? { pseudoLabels } : {};
    const outputs = await step.program.run({ images, labels, ...given, rng: this.rng, ...scalars }, signal);
    const record: Record<string, number> = { learningRate: scalars.learningRate ?? 0 };
    for (const [name, tensor] of Object.entries<Tensor>(outputs)) record[name] = tensor.item;
    return record;
  }

  /** Between two phases. Doing it again before the step has run, as a resumed training does, changes nothing. */
  private handOver(): void {
    const state = this.student.toState();
    for (const weights of this.networks.values()) if (weights !== this.student) weights.load(state);
    this.resetOptimizer();
  }

  private get programs(): Program[] {
    return this.phases.flatMap(({ steps }) => [...steps.values()].map(({ program }) => program));
  }

  /** Nodes, memory and FLOPs of the step; of the last phase, with as many pseudo-labels as it may have. */
  explain(): ReturnType<Program["explain"]> {
    const program = this.programs.at(-1);
    if (program === undefined) throw new UsageError("retrain: expected a compiled step, received none");
    return program.explain();
  }

  /** Memory that the steps take in addition to what the process holds now, bytes; programs share it. */
  get addedBytes(): number {
    return Math.max(...this.programs.map(({ addedBytes }) => addedBytes));
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
    for (const weights of this.networks.values()) weights.load(tensorsUnder(state, `${weights.name}/`));
    this.optimizer.load(tensorsUnder(state, "optimizer/"));
  }

  /** Forgets the optimiser's momentum. */
  resetOptimizer(): void {
    this.optimizer.reset();
  }

  dispose(): void {
    for (const program of this.programs) program.dispose();
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

/** The phases of a training, in order. */
function describePhases(method: Method, settings: RetrainSettings): PhaseDescription[] {
  const { warmUp, usesUnlabelled } = method;
  const begin = warmUp === undefined ? 0 : Math.round(warmUp.share * settings.steps);
  const main = {
    begin,
    settings: { ...settings, steps: settings.steps - begin },
    losses: (step: StepContext) => method.losses(step),
    usesUnlabelled,
    learningRate,
  };
  if (warmUp === undefined || begin === 0) return [main];
  return [
    {
      begin: 0,
      settings: { ...settings, steps: begin },
      losses: (step) => warmUp.losses(step),
      usesUnlabelled: false,
      learningRate: () => settings.learningRate,
    },
    main,
  ];
}
