import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { workingGrid } from "../data/case-geometry.js";
import { namingFile } from "../error-text.js";
import { finetune } from "../finetune/finetune.js";
import { SamLabeller } from "../finetune/sam-labeller.js";
import { loadingSummary } from "../models/sam/loading.js";
import { Tensor } from "../native/tensor.js";
import { slidingWindow } from "../predict/sliding-window.js";
import { methods } from "../retrain/methods/index.js";
import { type PseudoLabelSource, retrain } from "../retrain/retrain.js";
import { readGivenLabel } from "./given-labels.js";
import type { StageKeys } from "./keys.js";
import { readClasses, writeClasses } from "./label-files.js";
import { type ModelCard, writeModelCard } from "./model-card.js";
import type { Arm } from "./plan.js";
import { caseFile, type RunContext, runPaths, runStage } from "./stage.js";
import { TrainingObserver } from "./training-observer.js";

/** Path of the fine-tuned SAM. */
export const samWeightsPath = ({ folder }: RunContext): string =>
  folder.file(runPaths.finetune, "sam.safetensors");

/** Path of the checkpoint of its training. */
export const samCheckpointPath = ({ folder }: RunContext): string =>
  folder.file(runPaths.finetune, "checkpoint.safetensors");

/** Path of the checkpoint of an arm's training. */
export const armCheckpointPath = ({ folder }: RunContext, arm: Arm): string =>
  folder.file(runPaths.arm(arm), "checkpoint.safetensors");

/** Path of an arm's weights. */
export const armWeightsPath = (context: RunContext, arm: Arm): string =>
  arm.method === "sam"
    ? samWeightsPath(context)
    : context.folder.file(runPaths.arm(arm), "segmenter.safetensors");

/** Stage 2: fine-tunes SAM on the labelled cases. */
export async function finetuneStage(context: RunContext, keys: StageKeys): Promise<void> {
  const { config, folder, cases, signal } = context;
  const weightsPath = samWeightsPath(context);
  const checkpointPath = samCheckpointPath(context);
  const owns = [folder.file(runPaths.finetune), folder.file(runPaths.tensorboard, "finetune")];
  // SFR+ goes on from the checkpoint; without a step there is none.
  const goesOn = config.finetune.steps > 0 && context.arms.some(({ start }) => start !== undefined);
  const results = goesOn ? [weightsPath, checkpointPath] : [weightsPath];
  await runStage(context, { name: "finetune", key: keys.finetune(), owns, results }, async () => {
    await mkdir(folder.file(runPaths.finetune), { recursive: true });
    const how = config.sam.checkpoint === null ? "from a random start" : "from its checkpoint";
    using observer = new TrainingObserver(context, {
      stage: "finetune",
      event: "finetune",
      label: `fine-tune SAM ${config.sam.size} ${how}`,
      curve: "finetune",
    });
    await finetune(
      {
        cases: await cases.labelled(),
        classes: cases.classes,
        patch: config.patch,
        sam: config.sam,
        settings: config.finetune,
        precision: config.precision,
        seed: config.seed,
        checkpointEvery: config.checkpointEvery,
        checkpointPath,
        weightsPath,
        checkpointHash: folder.record.weights.sam ?? null,
        onLoad: async (name, path, report) => {
          context.progress.note(`${path}: ${loadingSummary(report)}`, "info");
          await folder.recordLoading(name, report);
        },
      },
      observer,
      signal,
    );
    await writeModelCard(weightsPath, cardOf(context));
    observer.end();
    return undefined;
  });
}

/** Loads the fine-tuned SAM of the run. */
export function loadSam(context: RunContext): Promise<SamLabeller> {
  const { config, cases } = context;
  const weightsPath = samWeightsPath(context);
  const { sam, patch, precision } = config;
  const options = { sam, classes: cases.classes, patch, precision };
  return namingFile(weightsPath, SamLabeller.load(weightsPath, options));
}

/** Labels each unlabelled volume once; the files are on the grid of training, with the original label ids. */
export async function pseudoLabelStage(context: RunContext, keys: StageKeys): Promise<void> {
  const { folder, cases, progress, signal } = context;
  const directory = folder.file(runPaths.pseudoLabels);
  const paths = cases.split.unlabelled.map(({ id }) => pseudoLabelPath(context, id));
  const spec = { name: "pseudo-label", key: keys.pseudoLabels(), owns: [directory], results: paths };
  await runStage(context, spec, async () => {
    await mkdir(directory, { recursive: true });
    await folder.dropEventsAfter("pseudo-label", 0);
    using sam = await loadSam(context);
    const start = performance.now();
    const all = await cases.unlabelled();
    progress.begin("pseudo-label", all.length, 0, "cases");
    for (const [index, prepared] of all.entries()) {
      const path = pseudoLabelPath(context, prepared.id);
      // A whole file of this key can only be a finished one.
      if (!existsSync(path)) {
        using result = await slidingWindow(prepared.image, sam, { signal });
        await writeClasses(path, result.labels.u8, workingGrid(prepared.geometry), cases.labelIds);
      }
      progress.update(index + 1);
      folder.event({ stage: "pseudo-label", case: prepared.id, step: index + 1, total: all.length });
    }
    progress.end((performance.now() - start) / 1000);
    return undefined;
  });
}

/** Stage 3: trains the segmenter of an arm; nothing for SAM alone and for SFR+, which goes on from another arm's. */
export async function retrainStage(context: RunContext, keys: StageKeys, arm: Arm): Promise<void> {
  if (arm.method === "sam" || arm.start !== undefined) return;
  const { method } = arm;
  const { config, folder, cases, signal } = context;
  const weightsPath = armWeightsPath(context, arm);
  const name = `retrain/${arm.folder}`;
  const checkpointPath = armCheckpointPath(context, arm);
  const owns = [folder.file(runPaths.arm(arm)), folder.file(runPaths.tensorboard, arm.folder)];
  const goesOn = context.arms.some(({ start }) => start?.folder === arm.folder);
  const results = goesOn ? [weightsPath, checkpointPath] : [weightsPath];
  await runStage(context, { name, key: keys.weights(arm), owns, results }, async () => {
    await mkdir(folder.file(runPaths.arm(arm)), { recursive: true });
    const usesUnlabelled = methods[method].usesUnlabelled;
    const pseudoLabels = await pseudoLabelSource(context, arm);
    using observer = new TrainingObserver(context, {
      stage: name,
      event: "retrain",
      arm: arm.name,
      label: `re-train ${arm.name}`,
      curve: arm.folder,
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
    await writeModelCard(weightsPath, cardOf(context));
    observer.end();
    return undefined;
  });
}

async function pseudoLabelSource(context: RunContext, arm: Arm): Promise<PseudoLabelSource> {
  if (!arm.usesPseudoLabels) return { kind: "none" };
  if (context.config.pseudoLabels === "per-crop")
    return { kind: "per-crop", labeller: await loadSam(context) };
  const { cases, givenLabels } = context;
  const labels = new Map<string, Tensor>();
  for (const prepared of await cases.unlabelled()) {
    const given = givenLabels?.paths.get(prepared.id);
    if (given !== undefined) labels.set(prepared.id, await readGivenLabel(given, prepared, cases.labelIds));
    else {
      const classes = await readClasses(pseudoLabelPath(context, prepared.id), cases.labelIds);
      labels.set(prepared.id, Tensor.from("u8", prepared.image.shape, classes));
    }
  }
  return { kind: "per-volume", labels };
}

function disposeSource(source: PseudoLabelSource): void {
  if (source.kind === "per-crop") source.labeller.dispose();
  if (source.kind === "per-volume") for (const labels of source.labels.values()) labels.dispose();
}

function pseudoLabelPath({ folder }: RunContext, id: string): string {
  return folder.file(runPaths.pseudoLabels, caseFile(id, ".nii.gz"));
}

/** What weights of this run say of its data. */
export function cardOf({ cases }: RunContext): ModelCard {
  return { labelIds: cases.labelIds, labelNames: cases.labelNames, plan: cases.plan };
}
