import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { resultGrid } from "../data/case-geometry.js";
import type { Case } from "../data/cases.js";
import { isCaseError, messageOf, namingFile } from "../error-text.js";
import { Segmenter } from "../predict/segmenter.js";
import { slidingWindow } from "../predict/sliding-window.js";
import type { WindowModel } from "../predict/window-model.js";
import { disposeCase } from "./case-store.js";
import type { StageKeys } from "./keys.js";
import { writeClasses } from "./label-files.js";
import { writeColorTable } from "./label-legend.js";
import type { Arm } from "./plan.js";
import { caseFile, type RunContext, runPaths, runStage } from "./stage.js";
import { armWeightsPath, loadSam } from "./training-stages.js";

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
    await writeColorTable(directory, cases);
    await folder.dropEventsAfter("predict", 0, arm.name);
    using model = await loadModel(context, arm);
    const start = performance.now();
    progress.begin(`predict ${arm.name}`, test.length, 0, "cases");
    let failures = 0;
    for (const [index, entry] of test.entries()) {
      failures += (await predictCase(context, arm, entry, model)) ? 0 : 1;
      progress.update(index + 1);
      folder.event({ stage: "predict", arm: arm.name, case: entry.id, step: index + 1, total: test.length });
    }
    progress.end((performance.now() - start) / 1000);
    return failures === 0 ? undefined : `${failures} of ${test.length} cases failed`;
  });
}

/** The network of an arm: its segmenter, or SAM. */
async function loadModel(context: RunContext, arm: Arm): Promise<WindowModel> {
  if (arm.method === "sam") return loadSam(context);
  const weightsPath = armWeightsPath(context, arm);
  return namingFile(weightsPath, Segmenter.load(weightsPath));
}

/** @returns false when the case failed, which is then on record */
async function predictCase(context: RunContext, arm: Arm, entry: Case, model: WindowModel): Promise<boolean> {
  const { folder, progress } = context;
  const path = predictionPath(context, arm, entry.id);
  try {
    // A whole file of this key can only be a finished one.
    if (!existsSync(path)) await writePrediction(context, arm, entry, model, path);
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
  { cases, config, signal }: RunContext,
  arm: Arm,
  entry: Case,
  model: WindowModel,
  path: string,
): Promise<void> {
  const prepared = await cases.prepare(entry, false);
  try {
    // SAM has a stride of its own, and one channel.
    const isSam = arm.method === "sam";
    const stride = isSam ? null : config.predict.stride;
    const image = isSam ? prepared.image : prepared.channels;
    const { geometry } = prepared;
    using result = await slidingWindow(image, model, { stride, geometry, signal });
    await writeClasses(path, result.labels.u8, resultGrid(geometry), cases.labelIds);
  } finally {
    disposeCase(prepared);
  }
}
