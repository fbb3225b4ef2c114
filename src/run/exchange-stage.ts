import { mkdir } from "node:fs/promises";
import { exchange } from "../exchange/exchange.js";
import type { StageKeys } from "./keys.js";
import { writeModelCard } from "./model-card.js";
import type { Arm } from "./plan.js";
import { type RunContext, runPaths, runStage } from "./stage.js";
import { gigabytes, TrainingObserver } from "./training-observer.js";
import {
  armCheckpointPath,
  armWeightsPath,
  cardOf,
  samCheckpointPath,
  samWeightsPath,
} from "./training-stages.js";

/** Path of the record of an SFR+ arm's crops. */
export const exchangeRecordPath = ({ folder }: RunContext, arm: Arm): string =>
  folder.file(runPaths.arm(arm), "exchange.csv");

/** SFR+: trains SAM and the segmenter of another arm on together; nothing for other arms. */
export async function exchangeStage(context: RunContext, keys: StageKeys, arm: Arm): Promise<void> {
  const { start, method } = arm;
  if (start === undefined || method === "sam") return;
  const { config, folder, cases, progress, signal } = context;
  const name = `exchange/${arm.folder}`;
  const label = `exchange of ${arm.name}`;
  const [weightsPath, recordPath] = [armWeightsPath(context, arm), exchangeRecordPath(context, arm)];
  const owns = [folder.file(runPaths.arm(arm)), folder.file(runPaths.tensorboard, arm.folder)];
  const spec = { name, key: keys.weights(arm), owns, results: [weightsPath, recordPath] };
  await runStage(context, spec, async () => {
    await mkdir(folder.file(runPaths.arm(arm)), { recursive: true });
    const curve = arm.folder;
    using observer = new TrainingObserver(context, {
      stage: name,
      event: "exchange",
      arm: arm.name,
      label,
      curve,
    });
    const { sam, finetune, segmenter, retrain, patch, precision, seed, checkpointEvery } = config;
    await exchange(
      {
        ...{ sam, finetune, segmenter, retrain, patch, precision, seed, checkpointEvery, method },
        settings: config.exchange,
        samChannel: config.data.samChannel,
        classes: cases.classes,
        labelled: await cases.labelled(),
        unlabelled: await cases.unlabelled(),
        checkpointHash: folder.record.weights.sam ?? null,
        start: {
          samWeights: samWeightsPath(context),
          samCheckpoint: samCheckpointPath(context),
          segmenterCheckpoint: armCheckpointPath(context, start),
        },
        checkpointPath: armCheckpointPath(context, arm),
        weightsPath,
        samWeightsPath: folder.file(runPaths.arm(arm), "sam.safetensors"),
        recordPath,
        onPlan: ({ samState, segmenterState, steps }) =>
          progress.note(
            `${label}: SAM ${gigabytes(samState)} and segmenter ${gigabytes(segmenterState)} with moments, ` +
              `${gigabytes(steps)} for the larger of their steps, which take turns`,
            "info",
          ),
      },
      observer,
      signal,
    );
    await writeModelCard(weightsPath, await cardOf(context));
    observer.end();
    return undefined;
  });
}
