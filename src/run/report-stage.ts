import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { exchangeCharts } from "../exchange/exchange-charts.js";
import { type ExchangeSample, readExchange } from "../exchange/record.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { decodePng, type Picture } from "../io/png.js";
import { formatDuration } from "../io/progress.js";
import type { Summary } from "../metrics/summary.js";
import { curvesFromEvents } from "../viewer/curves.js";
import type { PictureGroup } from "../viewer/page.js";
import { type ReportData, writeReport } from "../viewer/report.js";
import { canvasPictures } from "./canvas-pictures.js";
import { overlayPath, scoredCases } from "./evaluate-stage.js";
import { exchangeRecordPath } from "./exchange-stage.js";
import type { Arm } from "./plan.js";
import type { ScoredArm } from "./score-table.js";
import { type RunContext, stageSeconds } from "./stage.js";

/** Cases whose pictures go into the report; the folder `pictures` has them all. */
const shownCases = 4;

/** An arm of a run with its scores. */
export interface ArmScores {
  readonly arm: Arm;
  readonly summary: Summary;
}

/** Time of all stages that an arm needs, in seconds: its own, and SAM's when it uses SAM. */
function armSeconds({ folder, config }: RunContext, arm: Arm): number {
  const { needsSam, start } = arm;
  const shared = needsSam ? ["finetune"] : [];
  const isLabelled = (start ?? arm).usesPseudoLabels && config.pseudoLabels === "per-volume";
  const labelling = isLabelled ? ["pseudo-label"] : [];
  const training = start === undefined ? [] : [`exchange/${arm.folder}`];
  const own = [`retrain/${(start ?? arm).folder}`, ...training, `predict/${arm.folder}`];
  return [...shared, ...labelling, ...own].reduce((sum, name) => sum + stageSeconds(folder, name), 0);
}

/** What the exchanges of the run have recorded, by arm; empty before they ran. */
function exchangeRecords(context: RunContext): { name: string; samples: ExchangeSample[] }[] {
  return context.arms.flatMap((arm) => {
    const path = exchangeRecordPath(context, arm);
    return arm.start !== undefined && existsSync(path)
      ? [{ name: arm.name, samples: readExchange(path) }]
      : [];
  });
}

/** Sentences that every table of the run needs beside it. */
export function runNotes(context: RunContext): string[] {
  const { config, arms } = context;
  const isRandom = config.sam.checkpoint === null && arms.some(({ needsSam }) => needsSam);
  return [
    config.data.halve ? "Scored at half resolution, as trained." : "Scored at the resolution of the files.",
    ...(isRandom
      ? [`SAM (${config.sam.size}) started from random weights, not from a pretrained checkpoint.`]
      : []),
    ...(arms.some(({ usesPseudoLabels }) => usesPseudoLabels)
      ? [`Pseudo-labels ${config.pseudoLabels}.`]
      : []),
    ...exchangeRecords(context).map(({ name, samples }) => {
      const sure = samples.filter(({ route }) => route === "finetune").length;
      const how = config.exchange.replay === null ? `threshold ${config.exchange.threshold}` : "replayed";
      return `${name}: ${sure} of ${samples.length} unlabelled crops taught SAM (${how}).`;
    }),
  ];
}

/** Writes the scores of all arms as `summary.json` at the top of the run folder: one nnU-Net summary per arm. */
export async function writeRunSummary(context: RunContext, scores: readonly ArmScores[]): Promise<void> {
  const { config, cases, folder } = context;
  const content = {
    name: config.name,
    resolution: config.data.halve ? "half" : "full",
    pseudo_labels: config.pseudoLabels,
    sam_start: config.sam.checkpoint === null ? "random" : "checkpoint",
    label_names: cases.labelNames,
    arms: Object.fromEntries(
      scores.map(({ arm, summary }) => [
        arm.name,
        { wall_seconds: armSeconds(context, arm), folder: `arms/${arm.folder}`, ...summary },
      ]),
    ),
  };
  await writeFileAtomic(folder.file("summary.json"), `${JSON.stringify(content, null, 2)}\n`);
}

/** Writes `report.html` from what the stages have left in the run folder. @returns its path */
export async function writeRunReport(context: RunContext, scores: readonly ArmScores[]): Promise<string> {
  const { config, cases, folder } = context;
  const { split } = cases;
  const counts = `${split.labelled.length} labelled, ${split.unlabelled.length} unlabelled and ${split.test.length} test cases`;
  const { versions, cpuLevel, device, created, peakRssBytes } = folder.record;
  const data: ReportData = {
    title: config.name,
    about: [`${counts}; patch ${config.patch.join(" x ")} voxels (x, y, z).`, ...runNotes(context)].join(" "),
    arms: scores.map(({ arm, summary }) => ({
      name: arm.name,
      summary,
      wallSeconds: armSeconds(context, arm),
    })),
    labelNames: cases.labelNames,
    curves: [
      ...curvesFromEvents(folder.events(), {
        finetune: "Fine-tuning SAM",
        retrain: "Re-training",
        exchange: "SFR+, the exchange",
      }),
      ...exchangeCharts(exchangeRecords(context)),
    ],
    pictures: [...overlayGroups(context, scores), ...canvasGroups(context)],
    config: folder.record.config,
    facts: {
      Seed: String(config.seed),
      Device: device,
      "CPU level": cpuLevel,
      CPU: cpus()[0]?.model.trim() ?? "unknown",
      ...Object.fromEntries(Object.entries(versions).map(([name, text]) => [`Version of ${name}`, text])),
      Started: created,
      "Peak memory": `${(peakRssBytes / 2 ** 30).toFixed(2)} GiB`,
      ...Object.fromEntries(
        folder.record.stages.map(({ name, wallSeconds }) => [`Time of ${name}`, formatDuration(wallSeconds)]),
      ),
    },
  };
  const path = folder.file("report.html");
  await writeReport(path, data);
  return path;
}

/** Arms with their scores and times, for the table. */
export function scoredArms(context: RunContext, scores: readonly ArmScores[]): ScoredArm[] {
  return scores.map(({ arm, summary }) => ({
    name: arm.name,
    summary,
    wallSeconds: armSeconds(context, arm),
  }));
}

function overlayGroups(context: RunContext, scores: readonly ArmScores[]): PictureGroup[] {
  return scoredCases(context)
    .slice(0, shownCases)
    .flatMap(({ id }) => {
      const pictures = scores.flatMap(({ arm }) => {
        const picture = readPicture(context, overlayPath(arm, id));
        return picture === undefined ? [] : [{ caption: arm.name, picture }];
      });
      const note = "Image, reference, prediction; the middle slice of the reference.";
      return pictures.length === 0 ? [] : [{ title: id, note, pictures }];
    });
}

function canvasGroups(context: RunContext): PictureGroup[] {
  const pictures = canvasPictures.flatMap(({ path, caption }) => {
    const picture = readPicture(context, path);
    return picture === undefined ? [] : [{ caption, picture }];
  });
  const start = context.config.sam.checkpoint === null ? " SAM started from random weights." : "";
  const note = `Every slice of a patch is a tile of one picture; gaps are dark blue.${start}`;
  return pictures.length === 0 ? [] : [{ title: "Stitched canvas", note, pictures }];
}

function readPicture({ folder }: RunContext, path: string): Picture | undefined {
  const file = folder.file(path);
  return existsSync(file) ? decodePng(readFileSync(file), file) : undefined;
}
