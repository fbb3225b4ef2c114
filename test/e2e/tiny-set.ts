import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { writePhantoms } from "./phantom-files.js";

/** A data set and a configuration so small that the whole chain takes seconds. */
export interface TinySet {
  /** Root of the data set: 2 labelled, 3 unlabelled and 2 test cases in the images-labels layout. */
  readonly data: string;
  /** Path of the configuration; it names `data`. */
  readonly config: string;
}

/** Label ids of the cases: not 0, 1, 2, so that a class index written as an id is found. */
export const tinyLabelIds = [0, 4, 7] as const;

/** Ids of the test cases. */
export const tinyTestCases = ["phantom_005", "phantom_006"] as const;

/** Folders of the cases by index, without `images` and `labels`. */
const parts = ["", "", "Un", "Un", "Un", "Ts", "Ts"] as const;

const settings = {
  name: "tiny",
  patch: [16, 16, 16],
  sam: { size: "tiny", canvas: 64 },
  // After so few steps only a low rate leaves a SAM that says something else than background.
  finetune: { steps: 7, batch: 1, warmup: 2, learningRate: 1e-5 },
  segmenter: { filters: 2 },
  retrain: { steps: 12, labelledBatch: 1, unlabelledBatch: 1 },
  // Crops of a segmenter after so few steps lie on both sides of this.
  exchange: { steps: 8, threshold: 0.511 },
  pseudoLabels: "per-volume",
  predict: { stride: [5, 4, 6] },
  arms: [
    { method: "labelled-only" },
    { method: "sam" },
    { method: "mean-teacher", pseudoLabels: "sam" },
    { method: "mean-teacher", pseudoLabels: "exchange" },
  ],
  // No divisor of the steps: the last steps have a checkpoint of their own.
  checkpointEvery: 5,
  seed: 5,
} as const;

/** Folders of the arms, in the order of the configuration. */
export const tinyArms = [
  "v-net-labelled-only",
  "sam-random-start",
  "sfr-random-sam",
  "sfr-plus-random-sam",
] as const;

/** Steps of the trainings. */
export const tinySteps = {
  finetune: settings.finetune.steps,
  retrain: settings.retrain.steps,
  exchange: settings.exchange.steps,
} as const;

/** Writes data set and configuration below `root`. */
export async function writeTinySet(root: string): Promise<TinySet> {
  const data = join(root, "data");
  const idsOf = (label: Uint8Array) => label.map((index) => tinyLabelIds[index] ?? 0);
  await writePhantoms(data, { parts, idsOf });
  const config = join(root, "tiny.yaml");
  const split = { root: data, layout: "images-labels", labelled: 2, unlabelled: 3, test: 2 };
  await writeFile(config, stringify({ ...settings, data: split }));
  return { data, config };
}
