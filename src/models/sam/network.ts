import { DataError } from "../../errors.js";
import type { Graph, Value } from "../../graph/graph.js";
import type { Parameter } from "../../graph/optimizer.js";
import { type FirstValues, WeightSet } from "../../graph/weights.js";
import type { HostTensor } from "../../io/host-tensor.js";
import type { TensorSource } from "../../io/tensor-file.js";
import type { Precision } from "../../native/native.js";
import { loadSamCheckpoint } from "./checkpoint.js";
import type { SamConfig } from "./config.js";
import type { LoadingReport } from "./loading.js";
import type { Lora, LoraTarget } from "./lora.js";
import { loadLoraFile } from "./lora-file.js";
import { sam } from "./sam.js";

/** How a SAM is trained: LoRA plus prompt encoder and mask decoder, or every weight. */
export type SamTraining = { kind: "all" } | { kind: "lora"; rank: number; targets: readonly LoraTarget[] };

/** What a network may be given beside its sizes. */
export interface SamNetworkOptions {
  /** "from-file" when loadCheckpoint follows, which then initialises the tensors left out; default "initialised". */
  firstValues?: FirstValues;
  /** Of the weights of the encoder's linear layers, where LoRA leaves them as they are; default f32. */
  precision?: Precision;
}

/** A SAM with its weights, for any number of graphs. Weights exist once a forward pass was described. */
export class SamNetwork implements Disposable {
  readonly weights: WeightSet;
  private readonly lora: Lora | undefined;
  private readonly frozenLinear: Precision;

  constructor(
    readonly config: SamConfig,
    readonly training: SamTraining,
    seed: number,
    { firstValues = "initialised", precision = "f32" }: SamNetworkOptions = {},
  ) {
    this.weights = new WeightSet("sam", seed, firstValues);
    this.frozenLinear = training.kind === "lora" ? precision : "f32";
    this.lora =
      training.kind === "lora"
        ? { rank: training.rank, targets: training.targets, weights: new WeightSet("lora", seed) }
        : undefined;
  }

  /** Logits [N, S/4, S/4, K] of canvases [N, S, S]. */
  forward(graph: Graph, canvas: Value, training: boolean): Value {
    const { weights, frozenLinear } = this;
    const context = { graph, weights, training, updateStatistics: training, frozenLinear };
    return sam(context, canvas, this.config, this.lora);
  }

  /** What an optimiser updates. Throws DataError before a forward pass was described. */
  parameters(): Parameter[] {
    const own = this.weights.withRole("parameter");
    if (own.length === 0)
      throw new DataError("sam: expected a described network, received one without weights");
    if (this.lora === undefined) return own;
    const head = own.filter(({ name }) => !name.startsWith("image_encoder."));
    return [...this.lora.weights.withRole("parameter"), ...head];
  }

  /** Takes SAM's weights from a checkpoint; see loadSamCheckpoint. */
  loadCheckpoint(file: TensorSource): Promise<LoadingReport> {
    return loadSamCheckpoint(this.weights, file, this.config);
  }

  /** Takes LoRA's updates, and what stands beside them, from a file; see loadLoraFile. Throws DataError without LoRA. */
  loadLora(file: TensorSource): Promise<LoadingReport> {
    const { lora, weights, config } = this;
    if (lora === undefined)
      throw new DataError("sam: expected LoRA training for a LoRA file, received all; set sam.train to lora");
    return loadLoraFile({ weights, lora: lora.weights, config }, file);
  }

  /** Tensors by official names, LoRA's as w_a_000 ... Without the frozen encoder when `trainedOnly`. */
  toState(trainedOnly: boolean): Map<string, HostTensor> {
    const isFrozen = (name: string) => this.lora !== undefined && name.startsWith("image_encoder.");
    return new Map([
      ...(this.lora?.weights.toState() ?? []),
      ...this.weights.toState((name) => !(trainedOnly && isFrozen(name))),
    ]);
  }

  /** Takes back what toState() gave; tensors that the file leaves out stay. Throws DataError when LoRA's are missing. */
  load(state: ReadonlyMap<string, HostTensor>): void {
    this.weights.load(state);
    const missing = this.lora?.weights.load(state).missing ?? [];
    if (missing.length > 0) throw new DataError(`sam: expected LoRA tensor ${missing[0]}, received none`);
  }

  dispose(): void {
    this.weights.dispose();
    this.lora?.weights.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
