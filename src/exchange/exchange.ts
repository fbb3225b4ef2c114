import type {
  ExchangeSettings,
  FinetuneSettings,
  RetrainSettings,
  SegmenterSettings,
} from "../config/schema.js";
import type { PreparedCase } from "../data/prepare.js";
import { BatchSampler } from "../data/sampler.js";
import { DataError, UsageError } from "../errors.js";
import { CanvasMaker } from "../finetune/canvas-batch.js";
import { finetunedNetwork, loadFinetuned, type SamFacts, saveSam } from "../finetune/sam-file.js";
import { RandomStream } from "../graph/random.js";
import { type StepRecord, type TrainObserver, trainLoop } from "../graph/train-loop.js";
import { readSafetensors } from "../io/safetensors.js";
import type { Precision } from "../native/native.js";
import { saveSegmenter } from "../predict/segmenter.js";
import { CropMaker, channelCount } from "../retrain/crop-maker.js";
import { type MethodName, methods } from "../retrain/methods/index.js";
import { inputPlan } from "../stitch/input-plan.js";
import { ExchangeLog, type ExchangeSample, readExchange } from "./record.js";
import type { Route } from "./route.js";
import { type ExchangeMemory, ExchangeStep } from "./step.js";

export interface ExchangeOptions extends SamFacts {
  /** Cases with labels; at least one. */
  labelled: readonly PreparedCase[];
  /** At least one. */
  unlabelled: readonly PreparedCase[];
  finetune: FinetuneSettings;
  segmenter: SegmenterSettings;
  retrain: RetrainSettings;
  settings: ExchangeSettings;
  /** The method that the segmenter was re-trained by, with SAM's pseudo-labels. */
  method: MethodName;
  /** Of both models; default f32. */
  precision?: Precision;
  /** The channel that SAM sees, from 0; default 0. */
  samChannel?: number;
  seed: number;
  checkpointEvery: number;
  /** What stages 2 and 3 have left. */
  start: {
    samWeights: string;
    /** Of a SAM that was not fine-tuned (finetune.steps: 0) there is none, and it is not read. */
    samCheckpoint: string;
    segmenterCheckpoint: string;
  };
  /** Checkpoint to write and to resume from. */
  checkpointPath: string;
  /** Final weights of the student, and of SAM. */
  weightsPath: string;
  samWeightsPath: string;
  /** The record of every crop, CSV. */
  recordPath: string;
  /** Told what memory both models together take. */
  onPlan?(memory: ExchangeMemory): void;
}

/**
 * SFR+: SAM and the segmenter are trained on in one loop, each with labels of the other. Writes the student's weights,
 * SAM's and the record of all crops; resumes from the checkpoint bit for bit.
 *
 * @throws DataError when a file to start from does not fit, or a record to replay is of other crops
 */
export async function exchange(
  options: ExchangeOptions,
  observer?: TrainObserver,
  signal?: AbortSignal,
): Promise<void> {
  const { labelled, unlabelled, settings, classes, patch, segmenter, retrain } = options;
  if (labelled.length === 0 || unlabelled.length === 0)
    throw new UsageError(
      "exchange: expected labelled and unlabelled cases, received " +
        `${labelled.length} and ${unlabelled.length}; add volumes`,
    );
  const channels = channelCount([...labelled, ...unlabelled]);
  const replay = settings.replay === null ? undefined : routesOf(settings.replay);
  using step = new ExchangeStep({
    sam: finetunedNetwork(options.sam, classes, options.precision),
    plan: inputPlan(patch, options.sam),
    ...{ finetune: options.finetune, segmenter, retrain, settings, classes, patch, seed: options.seed },
    ...{ method: methods[options.method], channels, samChannel: options.samChannel ?? 0 },
    ...(options.precision === undefined ? {} : { precision: options.precision }),
  });
  await begin(step, options);
  options.onPlan?.(step.memory);
  using crops = new CropMaker({ ...options, settings: retrain });
  using canvases = new ExchangeCanvases(step, options);
  const recorder = new RecordingObserver(options.recordPath, observer);
  await trainLoop(
    {
      steps: settings.steps,
      checkpointEvery: options.checkpointEvery,
      checkpointPath: options.checkpointPath,
      memoryBytes: step.memory.added,
      state: () => step.state(),
      restore: (state) => step.restore(state),
      async step(t, aborted) {
        // Crops go on where re-training ended.
        const at = retrain.steps + t;
        await crops.labelled(at, step.retrain.batch.images, step.retrain.batch.labels);
        const ids = (await crops.unlabelled(at, step.crops, 0)).map(({ id }) => id);
        const routes = replay?.(t + 1, ids);
        const stitch = (sample: number) => canvases.fill(t, sample);
        const input = { ...(routes === undefined ? {} : { routes }), stitch };
        const { record, crops: outcomes } = await step.run(t, input, aborted);
        recorder.samples = outcomes.map(
          ({ confidence, route, loss }, sample): ExchangeSample => ({
            ...{ step: t + 1, sample, caseId: ids[sample] ?? "" },
            ...{ ...confidence, route, loss },
          }),
        );
        return record;
      },
    },
    recorder,
    signal,
  );
  const { model, filters } = segmenter;
  await saveSam(options.samWeightsPath, step.sam, options);
  const metadata = { model, filters, classes, channels, patch };
  await saveSegmenter(options.weightsPath, step.retrain.student, metadata);
}

/** Writes the record of each whole step, and tells another observer. */
class RecordingObserver implements TrainObserver {
  /** Crops of the last step. */
  samples: readonly ExchangeSample[] = [];
  private log: ExchangeLog | undefined;

  constructor(
    private readonly path: string,
    private readonly observer: TrainObserver | undefined,
  ) {}

  async onStart(step: number, steps: number, memoryBytes: number): Promise<void> {
    this.log = await ExchangeLog.open(this.path, step);
    await this.observer?.onStart?.(step, steps, memoryBytes);
  }

  async onStep(step: number, record: StepRecord): Promise<void> {
    this.log?.append(this.samples);
    await this.observer?.onStep?.(step, record);
  }

  async onSave(step: number): Promise<void> {
    await this.observer?.onSave?.(step);
  }
}

/** Loads what stages 2 and 3 have left. */
async function begin(step: ExchangeStep, { sam, start, finetune }: ExchangeOptions): Promise<void> {
  await loadFinetuned(step.sam, sam, start.samWeights);
  const read = async (path: string) => (await readSafetensors(path)).tensors;
  step.start({
    sam: finetune.steps === 0 ? undefined : await read(start.samCheckpoint),
    segmenter: await read(start.segmenterCheckpoint),
  });
}

/** Fills SAM's batch with a labelled crop and an unlabelled one with the segmenter's label, both as in fine-tuning. */
class ExchangeCanvases implements Disposable {
  private readonly maker: CanvasMaker;
  private readonly cases: BatchSampler;

  constructor(
    private readonly step: ExchangeStep,
    private readonly options: ExchangeOptions,
  ) {
    const { patch, sam, finetune, classes, seed, labelled } = options;
    this.maker = new CanvasMaker(inputPlan(patch, sam), finetune, classes, seed);
    this.cases = new BatchSampler(labelled.length, 1, seed, "exchange", false);
  }

  /** @param sample index of the unlabelled crop in step t */
  async fill(t: number, sample: number): Promise<void> {
    const { crops, segmenterLabels, finetune } = this.step;
    const { seed, labelled } = this.options;
    const samples = crops.shape[0] ?? 1;
    const [index = 0] = this.cases.at(t * samples + sample);
    const entry = labelled[index];
    if (entry === undefined) throw new DataError(`exchange: expected a case at ${index}, received none`);
    const stream = (name: string) => new RandomStream(seed, t, `exchange/${name}/${sample}`);
    await this.maker.ofCase(stream("labelled"), entry, finetune, 0);
    const voxels = segmenterLabels.count / samples;
    const labels = segmenterLabels.u8.subarray(sample * voxels, (sample + 1) * voxels);
    await this.maker.ofCrop(stream("unlabelled"), this.step.cropForSam(sample), labels, finetune, 1);
  }

  [Symbol.dispose](): void {
    this.maker.dispose();
  }
}

/** Routes of a recorded exchange by step; throws DataError when the step had other crops. */
function routesOf(path: string): (step: number, ids: readonly string[]) => Route[] {
  const steps = new Map<number, ExchangeSample[]>();
  for (const sample of readExchange(path))
    steps.set(sample.step, [...(steps.get(sample.step) ?? []), sample]);
  return (step, ids) => {
    const samples = steps.get(step) ?? [];
    const recorded = samples.map(({ caseId }) => caseId);
    if (recorded.join("\n") === ids.join("\n")) return samples.map(({ route }) => route);
    throw new DataError(
      `${path}: expected crops of ${ids.join(", ")} in step ${step}, received ${recorded.join(", ") || "none"}; ` +
        "replay a run of the same data, seed, batches and steps",
    );
  };
}
