import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { workingGrid } from "../data/case-geometry.js";
import type { PreparedCase } from "../data/prepare.js";
import { namingFile } from "../error-text.js";
import { finetune } from "../finetune/finetune.js";
import { SamLabeller } from "../finetune/sam-labeller.js";
import { loadingSummary } from "../models/sam/loading.js";
import { slidingWindow } from "../predict/sliding-window.js";
import type { VolumeLabels } from "../predict/volume-labels.js";
import type { StageKeys } from "./keys.js";
import { writeClasses } from "./label-files.js";
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
    await writeModelCard(weightsPath, await cardOf(context));
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
  const { folder, cases, signal } = context;
  const directory = folder.file(runPaths.pseudoLabels);
  const paths = cases.split.unlabelled.map(({ id }) => pseudoLabelPath(context, id));
  const spec = { name: "pseudo-label", key: keys.pseudoLabels(), owns: [directory], results: paths };
  await runStage(context, spec, async () => {
    await folder.dropEventsAfter("pseudo-label", 0);
    using sam = await loadSam(context);
    await labelUnlabelled(context, {
      title: "pseudo-label",
      pathOf: (id) => pseudoLabelPath(context, id),
      label: ({ image }) => slidingWindow(image, sam, { signal }),
      onCase: (id, step, total) => folder.event({ stage: "pseudo-label", case: id, step, total }),
    });
    return undefined;
  });
}

/** How the unlabelled cases are labelled. */
interface Labelling {
  /** For the progress line. */
  readonly title: string;
  /** Path of the labels of a case, on the grid of training, with the original label ids. */
  pathOf(id: string): string;
  label(prepared: PreparedCase): Promise<VolumeLabels>;
  onCase?(id: string, step: number, total: number): void;
}

/** Labels the unlabelled cases that have no file yet: a whole file can only be a finished one. */
export async function labelUnlabelled(
  { cases, progress }: RunContext,
  { title, pathOf, label, onCase }: Labelling,
): Promise<void> {
  const start = performance.now();
  const all = await cases.unlabelled();
  progress.begin(title, all.length, 0, "cases");
  for (const [index, prepared] of all.entries()) {
    const path = pathOf(prepared.id);
    if (!existsSync(path)) {
      await mkdir(dirname(path), { recursive: true });
      using result = await label(prepared);
      await writeClasses(path, result.labels.u8, workingGrid(prepared.geometry), cases.labelIds);
    }
    progress.update(index + 1);
    onCase?.(prepared.id, index + 1, all.length);
  }
  progress.end((performance.now() - start) / 1000);
}

/** Path of SAM's labels of an unlabelled case. */
export function pseudoLabelPath({ folder }: RunContext, id: string): string {
  return folder.file(runPaths.pseudoLabels, caseFile(id, ".nii.gz"));
}

/** What weights of this run say of its data. */
export async function cardOf({ config, cases }: RunContext): Promise<ModelCard> {
  const { labelIds, labelNames, labelColors, plan } = cases;
  const channels = (await cases.labelled())[0]?.channels.length ?? 1;
  return { labelIds, labelNames, labelColors, plan, channels, samChannel: config.data.samChannel };
}
