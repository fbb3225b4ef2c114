import { DataError } from "../../errors.js";
import type { Graph, Value } from "../../graph/graph.js";
import type { Parameter } from "../../graph/optimizer.js";
import { type FirstValues, WeightSet } from "../../graph/weights.js";
import type { HostTensor } from "../../io/host-tensor.js";
import type { TensorSource } from "../../io/tensor-file.js";
import type { Precision } from "../../native/native.js";
import { loadSamCheckpoint } from "./checkpoint.js";
import type { SamConfig } from "./config.js";
import type { Addition } from "./image-encoder.js";
import type { LoadingReport } from "./loading.js";
import type { LoraTarget } from "./lora.js";
import { loadLoraFile } from "./lora-file.js";
import { sam } from "./sam.js";

/**
 * How a SAM is trained: every weight; the mask decoder alone (MedSAM's first recipe); or LoRA or adapters in the encoder,
 * with prompt encoder and mask decoder.
 */
export type SamTraining =
  | { kind: "all" }
  | { kind: "decoder" }
  | { kind: "lora"; rank: number; targets: readonly LoraTarget[] }
  | { kind: "adapter"; ratio: number };

const isEncoder = (name: string): boolean => name.startsWith("image_encoder.");

/** Which of SAM's own weights each training moves, by name. */
const trained: Readonly<Record<SamTraining["kind"], (name: string) => boolean>> = {
  all: () => true,
  decoder: (name) => name.startsWith("mask_decoder."),
  lora: (name) => !isEncoder(name),
  adapter: (name) => !isEncoder(name),
};

/** What a network may be given beside its sizes. */
export interface SamNetworkOptions {
  /** "from-file" when loadCheckpoint follows, which then initialises the tensors left out; default "initialised". */
  firstValues?: FirstValues;
  /** Of the weights of the encoder's linear layers, where they are not trained; default f32. */
  precision?: Precision;
}

/** A SAM with its weights, for any number of graphs. Weights exist once a forward pass was described. */
export class SamNetwork implements Disposable {
  readonly weights: WeightSet;
  private readonly added: Addition | undefined;
  /** Of the frozen weights of linear layers; on a device, of activations as well. */
  readonly precision: Precision;

  constructor(
    readonly config: SamConfig,
    readonly training: SamTraining,
    seed: number,
    { firstValues = "initialised", precision = "f32" }: SamNetworkOptions = {},
  ) {
    this.weights = new WeightSet("sam", seed, firstValues);
    this.precision = training.kind === "all" ? "f32" : precision;
    this.added =
      training.kind === "lora" || training.kind === "adapter"
        ? { ...training, weights: new WeightSet(training.kind, seed) }
        : undefined;
  }

  /** Logits [N, S/4, S/4, K] of canvases [N, S, S]. */
  forward(graph: Graph, canvas: Value, training: boolean): Value {
    const { weights, precision } = this;
    const context = { graph, weights, training, updateStatistics: training, frozenLinear: precision };
    return sam(context, canvas, this.config, this.added);
  }

  /** What an optimiser updates. Throws DataError before a forward pass was described. */
  parameters(): Parameter[] {
    const own = this.weights.withRole("parameter");
    if (own.length === 0)
      throw new DataError("sam: expected a described network, received one without weights");
    const moved = own.filter(({ name }) => trained[this.training.kind](name));
    return [...(this.added?.weights.withRole("parameter") ?? []), ...moved];
  }

  /** Takes SAM's weights from a checkpoint; see loadSamCheckpoint. */
  loadCheckpoint(file: TensorSource): Promise<LoadingReport> {
    return loadSamCheckpoint(this.weights, file, this.config);
  }

  /** Takes LoRA's updates, and what stands beside them, from a file; see loadLoraFile. Throws DataError without LoRA. */
  loadLora(file: TensorSource): Promise<LoadingReport> {
    const { added, weights, config, training } = this;
    if (added?.kind !== "lora")
      throw new DataError(
        `sam: expected LoRA training for a LoRA file, received ${training.kind}; set sam.train to lora`,
      );
    return loadLoraFile({ weights, lora: added.weights, config }, file);
  }

  /** Tensors by official names, LoRA's as w_a_000 ... Without the frozen encoder when `trainedOnly`. */
  toState(trainedOnly: boolean): Map<string, HostTensor> {
    const isFrozen = (name: string) => this.training.kind !== "all" && isEncoder(name);
    return new Map([
      ...(this.added?.weights.toState() ?? []),
      ...this.weights.toState((name) => !(trainedOnly && isFrozen(name))),
    ]);
  }

  /**
   * Takes back what toState() gave; tensors that the file leaves out stay. Throws DataError when those of LoRA or of the
   * adapters are missing.
   */
  load(state: ReadonlyMap<string, HostTensor>): void {
    this.weights.load(state);
    const missing = this.added?.weights.load(state).missing ?? [];
    if (missing.length > 0)
      throw new DataError(`sam: expected ${this.training.kind} tensor ${missing[0]}, received none`);
  }

  dispose(): void {
    this.weights.dispose();
    this.added?.weights.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
