/** Stages 2 and 3 on phantoms, so short that an exchange can begin from them within a second. */
import { join } from "node:path";
import { configSchema, type SegmenterSettings } from "../../src/config/schema.js";
import type { PreparedCase } from "../../src/data/prepare.js";
import { type ExchangeOptions, exchange } from "../../src/exchange/exchange.js";
import { finetune } from "../../src/finetune/finetune.js";
import { SamLabeller } from "../../src/finetune/sam-labeller.js";
import type { MethodName } from "../../src/retrain/methods/index.js";
import { retrain } from "../../src/retrain/retrain.js";

/** What an exchange is to differ in from the others of a test. */
export interface Change {
  readonly method?: MethodName;
  readonly model?: SegmenterSettings["model"];
  /** Folder of its own results, below the root. */
  readonly name?: string;
  readonly exchange?: object;
  readonly retrain?: object;
  readonly unlabelled?: number;
}

/** Trainings of phantoms in a folder. */
export class Stages {
  private readonly config = configSchema.parse({
    name: "a",
    data: { root: "x", labelled: 1 },
    patch: [32, 16, 16],
    // 8 tiles: the 16 slices of a crop need two canvases.
    sam: { size: "tiny", canvas: 64 },
    // After so few steps only a low rate leaves a SAM that says something else than background.
    finetune: { steps: 3, batch: 1, learningRate: 1e-5 },
    segmenter: { filters: 2 },
    retrain: { steps: 3, learningRate: 0.05, consistency: 1 },
    arms: [{ method: "sam" }],
  });
  private readonly done = new Map<string, Promise<void>>();

  constructor(
    private readonly root: string,
    private readonly cases: readonly PreparedCase[],
  ) {}

  file(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  /** Options of an exchange, whose stages 2 and 3 have run. */
  async options(change: Change = {}): Promise<ExchangeOptions> {
    const { method = "mean-teacher", model = "vnet", name = "exchange", unlabelled = 4 } = change;
    const { sam, finetune: tuning, patch } = this.config;
    const segmenter = { ...this.config.segmenter, model };
    const settings = configSchema.shape.exchange.parse({ steps: 6, ...change.exchange });
    const retraining = configSchema.shape.retrain.parse({ ...this.config.retrain, ...change.retrain });
    const common = { sam, patch, classes: 3, seed: 3, checkpointHash: null };
    const cases = { labelled: this.cases.slice(0, 2), unlabelled: this.cases.slice(2, 2 + unlabelled) };
    const samWeights = this.file("sam.safetensors");
    const samCheckpoint = this.file("sam-checkpoint.safetensors");
    await this.once("sam", () =>
      finetune({
        ...{ ...common, cases: cases.labelled, settings: tuning, checkpointEvery: 10 },
        ...{ checkpointPath: samCheckpoint, weightsPath: samWeights },
      }),
    );
    const stage3 = `${method}-${model}-${JSON.stringify(change.retrain ?? {}).replaceAll(/\W/g, "")}-${unlabelled}`;
    const segmenterCheckpoint = this.file(`${stage3}-checkpoint.safetensors`);
    await this.once(stage3, async () => {
      using labeller = await SamLabeller.load(samWeights, { sam, classes: 3, patch });
      await retrain({
        ...{ ...common, ...cases, segmenter, settings: retraining, method, checkpointEvery: 10 },
        pseudoLabels: { kind: "per-crop", labeller },
        checkpointPath: segmenterCheckpoint,
        weightsPath: this.file(`${stage3}.safetensors`),
      });
    });
    return {
      ...{ ...common, ...cases, segmenter, retrain: retraining, finetune: tuning, settings, method },
      checkpointEvery: 10,
      start: { samWeights, samCheckpoint, segmenterCheckpoint },
      checkpointPath: this.file(`${name}-checkpoint.safetensors`),
      weightsPath: this.file(`${name}.safetensors`),
      samWeightsPath: this.file(`${name}-sam.safetensors`),
      recordPath: this.file(`${name}.csv`),
    };
  }

  private once(name: string, body: () => Promise<void>): Promise<void> {
    const known = this.done.get(name) ?? body();
    this.done.set(name, known);
    return known;
  }
}

/** Runs an exchange to its end. @returns what each step has recorded */
export async function runExchange(options: ExchangeOptions): Promise<Readonly<Record<string, number>>[]> {
  const records: Readonly<Record<string, number>>[] = [];
  await exchange(options, { onStep: (_, record) => void records.push(record) });
  return records;
}
