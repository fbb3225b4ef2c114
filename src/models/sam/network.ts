import { DataError } from "../../errors.js";
import type { Graph, Value } from "../../graph/graph.js";
import type { Parameter } from "../../graph/optimizer.js";
import { WeightSet } from "../../graph/weights.js";
import type { HostTensor } from "../../io/host-tensor.js";
import { loadSamCheckpoint } from "./checkpoint.js";
import type { SamConfig } from "./config.js";
import type { Lora } from "./lora.js";
import { sam } from "./sam.js";

/** How a SAM is trained: LoRA on q and v plus prompt encoder and mask decoder, or every weight. */
export type SamTraining = { kind: "all" } | { kind: "lora"; rank: number };

/** A SAM with its weights, for any number of graphs. Weights exist once a forward pass was described. */
export class SamNetwork implements Disposable {
  readonly weights: WeightSet;
  private readonly lora: Lora | undefined;

  constructor(
    readonly config: SamConfig,
    readonly training: SamTraining,
    seed: number,
  ) {
    this.weights = new WeightSet("sam", seed);
    this.lora =
      training.kind === "lora" ? { rank: training.rank, weights: new WeightSet("lora", seed) } : undefined;
  }

  /** Logits [N, S/4, S/4, K] of canvases [N, S, S]. */
  forward(graph: Graph, canvas: Value, training: boolean): Value {
    const context = { graph, weights: this.weights, training, updateStatistics: training };
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

  /** Takes SAM's weights from a checkpoint (official names); see loadSamCheckpoint. */
  loadCheckpoint(state: ReadonlyMap<string, HostTensor>): void {
    loadSamCheckpoint(this.weights, state, this.config);
  }

  /** Tensors by official names, LoRA's as w_a_000 ... Without the frozen encoder when `trainedOnly`. */
  toState(trainedOnly: boolean): Map<string, HostTensor> {
    const state = new Map(this.lora?.weights.toState() ?? []);
    for (const [name, tensor] of this.weights.toState())
      if (!(trainedOnly && this.lora !== undefined && name.startsWith("image_encoder.")))
        state.set(name, tensor);
    return state;
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
