import type { RetrainSettings } from "../../config/schema.js";
import type { Graph, Value } from "../../graph/graph.js";
import type { WeightSet } from "../../graph/weights.js";

/** What a method has at hand when it describes its training step. Labelled samples come first in the batch. */
export interface StepContext {
  graph: Graph;
  /** [N, D, H, W, 1]: labelled crops, then unlabelled ones. */
  images: Value;
  /** u8 [labelled, D, H, W]. */
  labels: Value;
  /** u8 [unlabelled, D, H, W]; absent when the arm has no pseudo-labels. */
  pseudoLabels: Value | undefined;
  labelled: number;
  unlabelled: number;
  /** clip(scale * N(0, 1), +-limit) of a shape, fresh for each step, from the stream `name`. */
  noise(name: string, shape: readonly number[], settings: { scale: number; limit: number }): Value;
  settings: RetrainSettings;
  /** Weights of the network that is trained and kept. */
  student: WeightSet;
  /** Another network of the same architecture with weights of its own. */
  network(name: string): WeightSet;
  /** Logits [.., D, H, W, K] of a network in training mode; its batch-norm statistics move once per call. */
  forward(weights: WeightSet, images: Value): Value;
  /** A scalar that changes from step to step; `at` gives its value for step t. */
  scalar(name: string, at: (t: number) => number): Value;
}

/** A method's part of the step graph. */
export interface StepLosses {
  /** What is minimised. */
  total: Value;
  /** Scalars to record, by name; total is recorded as `loss`. */
  terms: Readonly<Record<string, Value>>;
  /** Adds nodes that run after the optimiser's update, such as a teacher's moving average. */
  afterUpdate?(): void;
}

/** A semi-supervised re-training method: one file in this folder and one line in index.ts. */
export interface Method {
  /** One sentence with the loss and its source. */
  summary: string;
  /** Whether a step contains unlabelled crops; false: labelled ones only. */
  usesUnlabelled: boolean;
  /** Describes the losses of one step. */
  losses(step: StepContext): StepLosses;
}
