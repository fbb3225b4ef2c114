import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { relative } from "node:path";
import { resultGrid } from "../data/case-geometry.js";
import type { Case } from "../data/cases.js";
import type { Grid } from "../data/grid-match.js";
import { leaveOutIgnored } from "../data/label-table.js";
import { isCaseError, messageOf } from "../error-text.js";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { encodePng } from "../io/png.js";
import { defaultTolerance } from "../metrics/index.js";
import { scoreClasses } from "../metrics/scores.js";
import {
  type CaseScores,
  readSummary,
  type Summary,
  summarize,
  writeSummary,
  writeSummaryCsv,
} from "../metrics/summary.js";
import { Tensor } from "../native/tensor.js";
import { renderOverlay } from "../viewer/overlay.js";
import type { StageKeys } from "./keys.js";
import { readClasses } from "./label-files.js";
import type { Arm } from "./plan.js";
import { predictionPath } from "./predict-stage.js";
import { caseFile, type RunContext, runPaths, runStage } from "./stage.js";

/** Path of an arm's scores. */
const summaryPath = ({ folder }: RunContext, arm: Arm): string =>
  folder.file(runPaths.arm(arm), "summary.json");

/** Path of the picture of a case, relative to the run folder. */
export const overlayPath = (arm: Arm, id: string): string =>
  `${runPaths.pictures}/${arm.folder}/${caseFile(id, ".png")}`;

/** Test cases that have a label to be scored against. */
export const scoredCases = ({ cases }: RunContext): Case[] =>
  cases.split.test.filter(({ label }) => label !== undefined);

/**
 * Scores an arm's predictions of the test cases on the grid that they were written on and draws them. Distances are in
 * mm where the spacing is known, else in voxels.
 */
export async function evaluateStage(
  context: RunContext,
  keys: StageKeys,
  arm: Arm,
): Promise<Summary | undefined> {
  const { folder } = context;
  const scored = scoredCases(context);
  if (scored.length === 0) return undefined;
  const path = summaryPath(context, arm);
  const tablePath = folder.file(runPaths.arm(arm), "summary.csv");
  const pictures = folder.file(runPaths.pictures, arm.folder);
  const spec = {
    name: `evaluate/${arm.folder}`,
    key: keys.evaluate(arm),
    owns: [path, tablePath, pictures],
    results: [path],
  };
  await runStage(context, spec, async () => {
    await mkdir(pictures, { recursive: true });
    const all: CaseScores[] = [];
    for (const entry of scored) {
      const scores = await evaluateCase(context, arm, entry);
      if (scores !== undefined) all.push(scores);
    }
    const summary = summarize(all, { tolerance: defaultTolerance });
    await writeSummaryCsv(tablePath, summary);
    await writeSummary(path, summary);
    const failures = scored.length - all.length;
    return failures === 0 ? undefined : `${failures} of ${scored.length} cases failed`;
  });
  return readSummary(path);
}

/** @returns undefined when the case failed, which is then on record */
async function evaluateCase(context: RunContext, arm: Arm, entry: Case): Promise<CaseScores | undefined> {
  const { folder, progress } = context;
  const path = predictionPath(context, arm, entry.id);
  // Its failure stands on record since the prediction.
  if (!existsSync(path)) return undefined;
  try {
    const scores = await scoreCase(context, arm, entry, path);
    // An earlier start may have failed here.
    await folder.recordCase(entry.id, { status: "done" });
    return scores;
  } catch (error) {
    if (!isCaseError(error)) throw error;
    progress.note(`case '${entry.id}' failed: ${messageOf(error)}`);
    await folder.recordCase(entry.id, { status: "failed", error: messageOf(error) });
    return undefined;
  }
}

async function scoreCase(
  context: RunContext,
  arm: Arm,
  entry: Case,
  predictionFile: string,
): Promise<CaseScores> {
  const { folder, cases } = context;
  const { grid, image, label } = await referenceOf(context, entry);
  using reference = label;
  using prediction = Tensor.from("u8", label.shape, await readClasses(predictionFile, cases.labelIds));
  leaveOutIgnored(reference.u8, prediction.u8);
  const { shape: size, spacing } = grid;
  const classes = await scoreClasses(prediction, reference, {
    labelIds: cases.labelIds,
    spacing: spacing ?? [1, 1, 1],
  });
  const picture = renderOverlay({ image, size, reference: reference.u8, prediction: prediction.u8 });
  const png = encodePng(picture.pixels, picture.width, picture.height, picture.channels);
  await writeFileAtomic(folder.file(overlayPath(arm, entry.id)), png);
  return {
    id: entry.id,
    ...(entry.label === undefined ? {} : { referenceFile: entry.label }),
    predictionFile: relative(folder.path, predictionFile),
    unit: spacing === null ? "voxel" : "mm",
    classes,
  };
}

/** A test case on the grid that its prediction was written on: intensities [z][y][x] and classes u8 [D, H, W]. */
async function referenceOf(
  { cases }: RunContext,
  entry: Case,
): Promise<{ grid: Grid; image: Float32Array; label: Tensor }> {
  if (!cases.plan.halve) {
    const { channels, label } = await cases.load(entry);
    const image = channels[cases.samChannel]?.data ?? new Float32Array();
    const [x, y, z] = label.shape;
    return { grid: label, image, label: Tensor.from("u8", [z, y, x], label.data) };
  }
  const { image, channels, label, geometry } = await cases.prepare(entry, true);
  if (label === undefined) throw new DataError(`case '${entry.id}': expected a label, received none; add it`);
  const shown = Float32Array.from(image.f32);
  for (const channel of channels) channel.dispose();
  return { grid: resultGrid(geometry), image: shown, label };
}
