import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import type { Case } from "../data/cases.js";
import { isCaseError, messageOf, namingFile } from "../error-text.js";
import type { Tensor } from "../native/tensor.js";
import { Segmenter } from "../predict/segmenter.js";
import { disposeCase } from "./case-store.js";
import type { StageKeys } from "./keys.js";
import type { Arm } from "./plan.js";
import { caseFile, type RunContext, runPaths, runStage } from "./stage.js";
import { armWeightsPath, loadSam, writeClasses } from "./training-stages.js";

/** Something that labels whole volumes: the segmenter of an arm, or SAM. */
interface Predictor extends Disposable {
  /** f32 [D, H, W] -> u8 [D, H, W]. */
  labels(image: Tensor): Promise<Tensor>;
}

/** Path of an arm's prediction for a case. */
export function predictionPath({ folder }: RunContext, arm: Arm, id: string): string {
  return folder.file(runPaths.arm(arm), "predictions", caseFile(id, ".nii.gz"));
}

/** Labels the test cases with an arm's network. A case that cannot be read is recorded, the rest goes on. */
export async function predictStage(context: RunContext, keys: StageKeys, arm: Arm): Promise<void> {
  const { folder, cases, progress } = context;
  const { test } = cases.split;
  if (test.length === 0) return;
  const directory = folder.file(runPaths.arm(arm), "predictions");
  const name = `predict/${arm.folder}`;
  const results = test.map(({ id }) => predictionPath(context, arm, id));
  await runStage(context, { name, key: keys.predict(arm), owns: [directory], results }, async () => {
    await mkdir(directory, { recursive: true });
    await folder.dropEventsAfter("predict", 0, arm.name);
    using predictor = await loadPredictor(context, arm);
    const start = performance.now();
    progress.begin(`predict ${arm.name}`, test.length, 0, "cases");
    let failures = 0;
    for (const [index, entry] of test.entries()) {
      failures += (await predictCase(context, arm, entry, predictor)) ? 0 : 1;
      progress.update(index + 1);
      folder.event({ stage: "predict", arm: arm.name, case: entry.id, step: index + 1, total: test.length });
    }
    progress.end((performance.now() - start) / 1000);
    return failures === 0 ? undefined : `${failures} of ${test.length} cases failed`;
  });
}

async function loadPredictor(context: RunContext, arm: Arm): Promise<Predictor> {
  const { config, signal } = context;
  if (arm.method === "sam") {
    const sam = await loadSam(context);
    return { labels: (image) => sam.labelVolume(image, signal), [Symbol.dispose]: () => sam.dispose() };
  }
  const weightsPath = armWeightsPath(context, arm);
  const segmenter = await namingFile(weightsPath, Segmenter.load(weightsPath));
  return {
    labels: (image) =>
      segmenter.predict(image, config.predict.stride, signal === undefined ? {} : { signal }),
    [Symbol.dispose]: () => segmenter.dispose(),
  };
}

/** @returns false when the case failed, which is then on record */
async function predictCase(
  context: RunContext,
  arm: Arm,
  entry: Case,
  predictor: Predictor,
): Promise<boolean> {
  const { folder, progress } = context;
  const path = predictionPath(context, arm, entry.id);
  try {
    // A whole file of this key can only be a finished one.
    if (!existsSync(path)) await writePrediction(context, entry, predictor, path);
    await folder.recordCase(entry.id, { status: "done" });
    return true;
  } catch (error) {
    if (!isCaseError(error)) throw error;
    progress.note(`case '${entry.id}' failed: ${messageOf(error)}`);
    await folder.recordCase(entry.id, { status: "failed", error: messageOf(error) });
    return false;
  }
}

async function writePrediction(
  { cases }: RunContext,
  entry: Case,
  predictor: Predictor,
  path: string,
): Promise<void> {
  const prepared = await cases.prepare(entry, false);
  try {
    using labels = await predictor.labels(prepared.image);
    await writeClasses(path, labels.u8, prepared, cases.labelIds);
  } finally {
    disposeCase(prepared);
  }
}
