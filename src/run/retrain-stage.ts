import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { namingFile } from "../error-text.js";
import { Tensor } from "../native/tensor.js";
import { Segmenter } from "../predict/segmenter.js";
import { slidingWindow } from "../predict/sliding-window.js";
import { type MethodName, methods } from "../retrain/methods/index.js";
import { type PseudoLabelSource, retrain } from "../retrain/retrain.js";
import { readGivenLabel } from "./given-labels.js";
import type { StageKeys } from "./keys.js";
import { readClasses } from "./label-files.js";
import { writeModelCard } from "./model-card.js";
import type { Arm } from "./plan.js";
import { caseFile, type RunContext, runPaths, runStage } from "./stage.js";
import { TrainingObserver } from "./training-observer.js";
import {
  armCheckpointPath,
  armWeightsPath,
  cardOf,
  labelUnlabelled,
  loadSam,
  pseudoLabelPath,
} from "./training-stages.js";

/** One training of a segmenter. */
interface Training {
  readonly arm: Arm;
  /** In events and progress. */
  readonly name: string;
  /** Folder of its curves. */
  readonly curve: string;
  readonly method: MethodName;
  readonly pseudoLabels: PseudoLabelSource;
  readonly checkpointPath: string;
  readonly weightsPath: string;
}

const stageName = (arm: Arm): string => `retrain/${arm.folder}`;
const roundName = (round: number): string => `round-${round}`;
const weightsFile = "segmenter.safetensors";
const roundPath = (context: RunContext, arm: Arm, round: number, ...parts: string[]): string =>
  context.folder.file(runPaths.arm(arm), roundName(round), ...parts);

/** Stage 3: trains the segmenter of an arm; nothing for SAM alone and for SFR+, which goes on from another arm's. */
export async function retrainStage(context: RunContext, keys: StageKeys, arm: Arm): Promise<void> {
  if (arm.method === "sam" || arm.start !== undefined) return;
  const { method } = arm;
  const { folder } = context;
  const weightsPath = armWeightsPath(context, arm);
  const checkpointPath = armCheckpointPath(context, arm);
  const curves = [arm.folder, ...Array.from({ length: arm.rounds }, (_, round) => roundCurve(arm, round))];
  const owns = [
    folder.file(runPaths.arm(arm)),
    ...curves.map((curve) => folder.file(runPaths.tensorboard, curve)),
  ];
  const goesOn = context.arms.some(({ start }) => start?.folder === arm.folder);
  const results = goesOn ? [weightsPath, checkpointPath] : [weightsPath];
  await runStage(context, { name: stageName(arm), key: keys.weights(arm), owns, results }, async () => {
    await mkdir(folder.file(runPaths.arm(arm)), { recursive: true });
    const pseudoLabels = await roundsBefore(context, arm);
    const training = { arm, name: arm.name, curve: arm.folder, method, pseudoLabels };
    await train(context, { ...training, checkpointPath, weightsPath });
    return undefined;
  });
}

/** Trains a segmenter to its end. The source of pseudo-labels ends with it. */
async function train(context: RunContext, training: Training): Promise<void> {
  const { config, cases, signal } = context;
  const { arm, name, curve, method, pseudoLabels, checkpointPath, weightsPath } = training;
  const usesUnlabelled = methods[method].usesUnlabelled;
  using observer = new TrainingObserver(context, {
    stage: stageName(arm),
    event: "retrain",
    arm: name,
    label: `re-train ${name}`,
    curve,
  });
  try {
    await retrain(
      {
        labelled: await cases.labelled(),
        unlabelled: usesUnlabelled ? await cases.unlabelled() : [],
        classes: cases.classes,
        patch: config.patch,
        segmenter: config.segmenter,
        settings: config.retrain,
        method,
        pseudoLabels,
        precision: config.precision,
        seed: config.seed,
        checkpointEvery: config.checkpointEvery,
        checkpointPath,
        weightsPath,
      },
      observer,
      signal,
    );
  } finally {
    disposeSource(pseudoLabels);
  }
  await writeModelCard(weightsPath, await cardOf(context));
  observer.end();
}

const roundCurve = (arm: Arm, round: number): string => `${arm.folder}-${roundName(round)}`;

/**
 * Iterative self-training: trains the segmenters before the last one, each from the same start. The first learns from
 * SAM's pseudo-labels, or from the labelled cases alone; each further one from the labels that the one before gives the
 * unlabelled cases. What an earlier start has finished is taken as it is.
 *
 * @returns the pseudo-labels of the last training
 */
async function roundsBefore(context: RunContext, arm: Arm): Promise<PseudoLabelSource> {
  const weightsOf = (round: number) => roundPath(context, arm, round, weightsFile);
  let finished = arm.rounds;
  while (finished > 0 && !existsSync(weightsOf(finished - 1))) finished--;
  let source = await (finished === 0
    ? pseudoLabelSource(context, arm)
    : labelsOfRound(context, arm, finished - 1));
  for (let round = finished; round < arm.rounds; round++) {
    const weightsPath = weightsOf(round);
    await mkdir(dirname(weightsPath), { recursive: true });
    const method = source.kind === "none" ? "labelled-only" : "self-training";
    const name = `${arm.name}, round ${round}`;
    const training = { arm, name, curve: roundCurve(arm, round), method, pseudoLabels: source } as const;
    const checkpointPath = roundPath(context, arm, round, "checkpoint.safetensors");
    await train(context, { ...training, checkpointPath, weightsPath });
    source = await labelsOfRound(context, arm, round);
  }
  return source;
}

/** Labels of the unlabelled cases by the segmenter of a round, kept as files beside it. */
async function labelsOfRound(context: RunContext, arm: Arm, round: number): Promise<PseudoLabelSource> {
  const { config, signal } = context;
  const pathOf = (id: string) => roundPath(context, arm, round, "labels", caseFile(id, ".nii.gz"));
  const weightsPath = roundPath(context, arm, round, weightsFile);
  using segmenter = await namingFile(weightsPath, Segmenter.load(weightsPath));
  const { stride } = config.predict;
  await labelUnlabelled(context, {
    title: `${arm.name}, labels of round ${round}`,
    pathOf,
    label: ({ channels }) => slidingWindow(channels, segmenter, { stride, signal }),
  });
  return labelFiles(context, pathOf);
}

async function pseudoLabelSource(context: RunContext, arm: Arm): Promise<PseudoLabelSource> {
  if (!arm.usesPseudoLabels) return { kind: "none" };
  if (context.config.pseudoLabels === "per-crop")
    return { kind: "per-crop", labeller: await loadSam(context), channel: context.config.data.samChannel };
  const { cases, givenLabels } = context;
  if (givenLabels === undefined) return labelFiles(context, (id) => pseudoLabelPath(context, id));
  const labels = new Map<string, Tensor>();
  for (const prepared of await cases.unlabelled()) {
    const given = givenLabels.paths.get(prepared.id);
    if (given !== undefined) labels.set(prepared.id, await readGivenLabel(given, prepared, cases.labelIds));
  }
  return { kind: "per-volume", labels };
}

/** Labels of the unlabelled cases as labelUnlabelled() wrote them. */
async function labelFiles({ cases }: RunContext, pathOf: (id: string) => string): Promise<PseudoLabelSource> {
  const labels = new Map<string, Tensor>();
  for (const { id, image } of await cases.unlabelled()) {
    const classes = await readClasses(pathOf(id), cases.labelIds);
    labels.set(id, Tensor.from("u8", image.shape, classes));
  }
  return { kind: "per-volume", labels };
}

function disposeSource(source: PseudoLabelSource): void {
  if (source.kind === "per-crop") source.labeller.dispose();
  if (source.kind === "per-volume") for (const labels of source.labels.values()) labels.dispose();
}
