import type {
  ExchangeSettings,
  FinetuneSettings,
  RetrainSettings,
  SegmenterSettings,
  Voxels,
} from "../config/schema.js";
import { channelOf } from "../data/channels.js";
import { SamLabeller } from "../finetune/sam-labeller.js";
import { FinetuneStep } from "../finetune/step.js";
import { type HostTensor, tensorsUnder } from "../io/host-tensor.js";
import type { SamNetwork } from "../models/sam/network.js";
import type { Precision } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import type { Method } from "../retrain/methods/method.js";
import { RetrainStep } from "../retrain/step.js";
import type { InputPlan } from "../stitch/input-plan.js";
import { ConfidenceMeter, type CropConfidence } from "./confidence.js";
import { type Route, routeOf } from "./route.js";

/** What the steps of an exchange are built from. */
export interface ExchangeStepOptions {
  /** SAM; owned by the step from here on. */
  sam: SamNetwork;
  /** How SAM sees crops. */
  plan: InputPlan;
  finetune: FinetuneSettings;
  segmenter: SegmenterSettings;
  retrain: RetrainSettings;
  method: Method;
  settings: ExchangeSettings;
  /** K, background included. */
  classes: number;
  patch: Voxels;
  /** Of the crops, and which of them SAM sees, from 0. */
  channels: number;
  samChannel: number;
  /** Of the segmenter's kept activations; default f32. */
  precision?: Precision;
  seed: number;
}

/** What one step is given beside its crops. */
export interface ExchangeInput {
  /** Routes of the unlabelled crops; absent: by their confidence. */
  routes?: readonly Route[];
  /**
   * Fills `finetune`'s batch with two crops: a labelled one, and the unlabelled one of this index with its label from
   * `segmenterLabels`.
   */
  stitch(sample: number): Promise<void>;
}

/** What became of an unlabelled crop of a step. */
export interface CropOutcome {
  readonly confidence: CropConfidence;
  readonly route: Route;
  /** See ExchangeSample. */
  readonly loss: number | null;
}

/** What a step has done. */
export interface ExchangeOutcome {
  readonly record: Readonly<Record<string, number>>;
  /** In the order of the unlabelled crops. */
  readonly crops: readonly CropOutcome[];
}

/** Memory of an exchange, bytes. */
export interface ExchangeMemory {
  /** Weights and moments of SAM. */
  readonly samState: number;
  /** Weights of the segmenter and the method's other networks, and momentum. */
  readonly segmenterState: number;
  /** Of the larger of the two steps. */
  readonly steps: number;
  /** What the training takes in addition to what the process holds before its first step, checkpoints included. */
  readonly added: number;
}

type State = ReadonlyMap<string, HostTensor>;

/** Name of the tensor in a checkpoint that counts SAM's updates. */
const samUpdates = "exchange/sam-updates";
const parts = { sam: "sam/", segmenter: "segmenter/" } as const;

/**
 * One step of SFR+: the segmenter labels the unlabelled crops and says how sure it is; SAM labels those that it is not
 * sure of. Then each model learns from the other's labels as they stood before the step: the segmenter in one update,
 * SAM in one per sure crop.
 */
export class ExchangeStep implements Disposable {
  readonly finetune: FinetuneStep;
  /** Its batch gets labelled images and labels from the caller. */
  readonly retrain: RetrainStep;
  /** f32 [unlabelled, D, H, W, channels]; filled by the caller. */
  readonly crops: Tensor;
  /** u8 [unlabelled, D, H, W]: the segmenter's labels of the crops of the last step. */
  readonly segmenterLabels: Tensor;
  private readonly labeller: SamLabeller;
  private readonly meter: ConfidenceMeter;
  private updates = 0;

  constructor(private readonly options: ExchangeStepOptions) {
    const { sam, plan, finetune, segmenter, retrain, method, settings, classes, patch } = options;
    const { channels, seed, precision } = options;
    this.labeller = new SamLabeller(sam, patch, plan);
    this.finetune = new FinetuneStep(sam, finetune, 2 * plan.geometry.canvases);
    this.retrain = new RetrainStep({
      ...{ method, segmenter, settings: retrain, classes, patch, channels, seed },
      ...(precision === undefined ? {} : { precision }),
      pseudoLabels: "some",
      learningRate: (t) => settings.segmenterRate * retrain.learningRate * this.decay(t - retrain.steps),
    });
    const ignoreBelow = settings.samTarget === "sure" ? settings.threshold : 0;
    this.meter = new ConfidenceMeter(this.retrain.student, segmenter, classes, patch, channels, ignoreBelow);
    const shape = [retrain.unlabelledBatch, patch[2], patch[1], patch[0]];
    this.crops = Tensor.zeros("f32", [...shape, channels]);
    this.segmenterLabels = Tensor.zeros("u8", shape);
  }

  get sam(): SamNetwork {
    return this.options.sam;
  }

  /** What SAM sees of an unlabelled crop: values [D, H, W]. */
  cropForSam(sample: number): Float32Array {
    const { channels, samChannel } = this.options;
    const size = this.crops.count / (this.crops.shape[0] ?? 1);
    return channelOf(this.crops.f32.subarray(sample * size, (sample + 1) * size), channels, samChannel);
  }

  /** Both learning rates fall alike. */
  private decay(t: number): number {
    return (1 - t / this.options.settings.steps) ** 0.9;
  }

  /**
   * Begins where fine-tuning and re-training ended; SAM's weights are loaded before.
   *
   * @param states their checkpoints; `sam` is absent when SAM was not fine-tuned
   */
  start(states: { sam: State | undefined; segmenter: State }): void {
    if (states.sam !== undefined) this.finetune.restore(states.sam);
    this.retrain.restore(states.segmenter);
    if (this.options.settings.optimizers === "continued") return;
    this.finetune.resetOptimizer();
    this.retrain.resetOptimizer();
  }

  /**
   * Runs step t (0-based) of the exchange. The first update that it makes can still be cancelled; after that the step
   * runs to its end, so that the state is always that of a whole one.
   */
  async run(
    t: number,
    { routes: given, stitch }: ExchangeInput,
    signal?: AbortSignal,
  ): Promise<ExchangeOutcome> {
    const { settings, retrain, finetune } = this.options;
    const confidences = await this.meter.measure(this.crops, this.segmenterLabels, signal);
    const routes = confidences.map((confidence, i) => given?.[i] ?? routeOf(confidence, settings));
    const along = (route: Route) => [...routes.keys()].filter((i) => routes[i] === route);
    const [sure, unsure] = [along("finetune"), along("retrain")];

    let stoppable = signal;
    let record: Record<string, number> = {};
    if (unsure.length > 0 || settings.consistency === "all") {
      const pseudoLabelled = await this.fillUnlabelled(sure, unsure, signal);
      record = await this.retrain.run(retrain.steps + t, stoppable, pseudoLabelled);
      stoppable = undefined;
    }
    const samLosses = new Map<number, number>();
    const samRate = settings.samRate * finetune.learningRate * this.decay(t);
    for (const sample of sure) {
      await stitch(sample);
      const { loss = Number.NaN } = await this.finetune.run(this.samStep, samRate, stoppable);
      stoppable = undefined;
      this.updates++;
      samLosses.set(sample, loss);
    }
    const crops = confidences.map((confidence, i): CropOutcome => {
      const route = routes[i] ?? "retrain";
      return {
        confidence,
        route,
        loss: (route === "finetune" ? samLosses.get(i) : record.pseudoLabel) ?? null,
      };
    });
    const samTerms =
      sure.length > 0 ? { samLoss: mean([...samLosses.values()]), samLearningRate: samRate } : {};
    return { record: { ...record, ...samTerms, ...summaryOf(crops) }, crops };
  }

  /** Number of SAM's next update (0-based) for AdamW: it goes on from fine-tuning unless its moments began anew. */
  private get samStep(): number {
    const { settings, finetune } = this.options;
    return this.updates + (settings.optimizers === "continued" ? finetune.steps : 0);
  }

  /**
   * Puts the unlabelled crops into the segmenter's batch, those with SAM's labels first. Where sure ones take no part,
   * the others stand in their places too, in turn.
   *
   * @returns how many have SAM's labels
   */
  private async fillUnlabelled(
    sure: readonly number[],
    unsure: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { images, labels, pseudoLabels } = this.retrain.batch;
    const [labelled = 0, ...extents] = labels.shape;
    const { channels, samChannel } = this.options;
    const size = channels * (labels.count / labelled);
    const places = this.crops.count / size;
    const order =
      this.options.settings.consistency === "all"
        ? [...unsure, ...sure]
        : Array.from({ length: places }, (_, place) => unsure[place % unsure.length] ?? 0);
    for (const [place, sample] of order.entries()) {
      const crop = this.crops.f32.subarray(sample * size, (sample + 1) * size);
      images.f32.set(crop, (labelled + place) * size);
    }
    const count = order.filter((sample) => unsure.includes(sample)).length;
    if (count === 0 || pseudoLabels === undefined) return 0;
    const first = images.f32.subarray(labelled * size, (labelled + count) * size);
    using crops = Tensor.from("f32", [count, ...extents], channelOf(first, channels, samChannel));
    using made = await this.labeller.labelCrops(crops, signal);
    pseudoLabels.u8.set(made.u8);
    return count;
  }

  /** Memory of the two models together, bytes; their steps take turns in the same memory. */
  get memory(): ExchangeMemory {
    const [sam, segmenter] = [this.finetune.explain(), this.retrain.explain()];
    const others = [this.labeller.addedBytes, this.meter.addedBytes];
    return {
      samState: sam.persistentBytes,
      segmenterState: segmenter.persistentBytes,
      steps: Math.max(sam.arenaBytes + sam.workBytes, segmenter.arenaBytes + segmenter.workBytes),
      added:
        Math.max(this.finetune.addedBytes, this.retrain.addedBytes, ...others) +
        this.finetune.checkpointBytes +
        this.retrain.checkpointBytes,
    };
  }

  /** Everything a step changes, for a checkpoint; to be used before the next step, which changes some of it. */
  state(): Map<string, HostTensor> {
    const count: HostTensor = { dtype: "f64", shape: [1], data: Float64Array.of(this.updates) };
    const under = (prefix: string, state: State) =>
      [...state].map(([name, tensor]): [string, HostTensor] => [prefix + name, tensor]);
    return new Map([
      [samUpdates, count],
      ...under(parts.sam, this.finetune.state()),
      ...under(parts.segmenter, this.retrain.state()),
    ]);
  }

  /** Takes back what state() gave. Throws DataError when it does not fit. */
  restore(state: State): void {
    this.finetune.restore(tensorsUnder(state, parts.sam));
    this.retrain.restore(tensorsUnder(state, parts.segmenter));
    this.updates = Number(state.get(samUpdates)?.data[0] ?? 0);
  }

  dispose(): void {
    this.meter.dispose();
    this.retrain.dispose();
    this.finetune.dispose();
    this.labeller.dispose();
    this.crops.dispose();
    this.segmenterLabels.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Means over the crops of a step. */
function summaryOf(crops: readonly CropOutcome[]): Record<string, number> {
  const foreground = crops.flatMap(({ confidence }) => confidence.foreground ?? []);
  return {
    confidence: mean(crops.map(({ confidence }) => confidence.mean)),
    ...(foreground.length === 0 ? {} : { foregroundConfidence: mean(foreground) }),
    finetuneShare: crops.filter(({ route }) => route === "finetune").length / crops.length,
  };
}
