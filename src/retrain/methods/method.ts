import type { Config, RetrainSettings } from "../../config/schema.js";
import type { Graph, Value } from "../../graph/graph.js";
import type { NetworkContext } from "../../graph/layers.js";
import type { RandomStream } from "../../graph/random.js";
import type { WeightSet } from "../../graph/weights.js";
import type { DecoderMaps, EncoderMaps } from "../../models/segmenter.js";

/** How one forward pass of a step differs from the others. */
export interface ForwardOptions {
  /** Name of a further pass of the same network: its dropout masks are drawn anew. Two passes may not share one. */
  pass?: string;
  /** Whether running batch-norm statistics move; true by default. */
  updateStatistics?: boolean;
}

/** What a method has at hand when it describes its training step. Labelled samples come first in the batch. */
export interface StepContext {
  graph: Graph;
  /** [N, D, H, W, channels]: labelled crops, then unlabelled ones. */
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
  /**
   * Further weights: of another network of the same architecture, of a part of one, or of a method's own layers, started
   * from random streams of their own. They live in checkpoints, not in the file of the trained segmenter.
   */
  network(name: string): WeightSet;
  /**
   * Logits [.., D, H, W, K] of a network in training mode, on any number of crops; its batch-norm normalises with the
   * statistics of these crops, and its running statistics move once per call.
   */
  forward(weights: WeightSet, images: Value, options?: ForwardOptions): Value;
  /** The parts of forward: images -> maps of the encoder -> maps of the decoder -> logits of the first of these. */
  encode(weights: WeightSet, images: Value, options?: ForwardOptions): EncoderMaps;
  decode(weights: WeightSet, encoded: EncoderMaps, options?: ForwardOptions): DecoderMaps;
  head(weights: WeightSet, map: Value): Value;
  /**
   * Logits at the crops' size of each map of the decoder, the finest first. Throws UsageError when the network has no
   * deep-supervision heads.
   */
  scales(weights: WeightSet, maps: DecoderMaps, options?: ForwardOptions): Value[];
  /** A context for layers of the method's own on further weights. */
  layers(weights: WeightSet): NetworkContext;
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
  names: {
    readonly none?: string;
    readonly sam?: string;
    /** Of arms that learn from labels of their own segmenters in rounds; absent where there are no rounds. */
    readonly rounds?: string;
  };
  /** Whether a step contains unlabelled crops; false: labelled ones only. */
  usesUnlabelled: boolean;
  /** Throws UsageError when the method cannot work with these settings. */
  checkSettings?(config: Pick<Config, "retrain" | "patch" | "segmenter">): void;
  /** At its end every other network becomes a copy of the student, and momentum and schedules start anew. */
  warmUp?: WarmUp;
  /** Describes the losses of one step. */
  losses(step: StepContext): StepLosses;
}
