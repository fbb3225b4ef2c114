import type { RetrainSettings } from "../../config/schema.js";
import type { RandomStream } from "../../data/random.js";
import type { Graph, Value } from "../../graph/graph.js";
import type { WeightSet } from "../../graph/weights.js";

/** How one forward pass of a step differs from the others. */
export interface ForwardOptions {
  /** Name of a further pass of the same network: its dropout masks are drawn anew. Two passes may not share one. */
  pass?: string;
}

/** What a method has at hand when it describes its training step. Labelled samples come first in the batch. */
export interface StepContext {
  graph: Graph;
  /** [N, D, H, W, 1]: labelled crops, then unlabelled ones. */
  images: Value;
  /** u8 [labelled, D, H, W]. */
  labels: Value;
  /** u8 [P, D, H, W], of the first P unlabelled crops: all of them, or fewer in SFR+; absent when none has any. */
  pseudoLabels: Value | undefined;
  labelled: number;
  unlabelled: number;
  /** i32 [3]: the state of the step's random streams, for ops that draw by themselves. */
  rng: Value;
  /** clip(scale * N(0, 1), +-limit) of a shape, fresh for each step, from the stream `name`. */
  noise(name: string, shape: readonly number[], settings: { scale: number; limit: number }): Value;
  settings: RetrainSettings;
  /** Weights of the network that is trained and kept. */
  student: WeightSet;
  /** Another network of the same architecture with weights of its own, started from random streams of its own. */
  network(name: string): WeightSet;
  /**
   * Logits [.., D, H, W, K] of a network in training mode, on any number of crops; its batch-norm normalises with the
   * statistics of these crops, and its running statistics move once per call.
   */
  forward(weights: WeightSet, images: Value, options?: ForwardOptions): Value;
  /** As forward, of each scale of the decoder: logits at the crops' size, the finest scale first. */
  scales(weights: WeightSet, images: Value, options?: ForwardOptions): Value[];
  /**
   * A scalar that changes from step to step; `at` gives its value for step t. `random` is the stream `name` of that
   * step.
   */
  scalar(name: string, at: (t: number, random: RandomStream) => number): Value;
}

/** A method's part of the step graph. */
export interface StepLosses {
  /** What is minimised. */
  total: Value;
  /** Scalars to record, by name; total is recorded as `loss`. */
  terms: Readonly<Record<string, Value>>;
  /** Networks that the optimiser updates; by default the student alone. */
  trained?: readonly WeightSet[];
  /** Adds nodes that run after the optimiser's update, such as a teacher's moving average. */
  afterUpdate?(): void;
}

/** A phase before the one that `Method.losses` describes, on labelled crops alone, at a constant learning rate. */
export interface WarmUp {
  /** Its part of all steps, in (0, 1). */
  share: number;
  /** As Method.losses; `steps` of the settings and t count within the phase. */
  losses(step: StepContext): StepLosses;
}

/** A semi-supervised re-training method: one file in this folder and one line in index.ts. */
export interface Method {
  /** One sentence with the loss and its source. */
  summary: string;
  /** Names of its arms in tables, without and with SAM's pseudo-labels; absent where it does not go that way. */
  names: { readonly none?: string; readonly sam?: string };
  /** Whether a step contains unlabelled crops; false: labelled ones only. */
  usesUnlabelled: boolean;
  /** Throws UsageError when the method cannot work with these settings. */
  checkSettings?(settings: RetrainSettings): void;
  /** At its end every other network becomes a copy of the student, and momentum and schedules start anew. */
  warmUp?: WarmUp;
  /** Describes the losses of one step. */
  losses(step: StepContext): StepLosses;
}
