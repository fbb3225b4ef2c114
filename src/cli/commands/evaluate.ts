import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseFlag } from "../../config/load.js";
import { configSchema } from "../../config/schema.js";
import { settings } from "../../config/settings.js";
import type { Relabelling } from "../../data/label-table.js";
import { UsageError } from "../../errors.js";
import { defaultTolerance } from "../../metrics/index.js";
import { configAround } from "../../run/find-model.js";
import { type Command, type Context, exitCodes } from "../command.js";

/** The flag `--relabel`. */
const relabelSetting = settings
  .filter(({ path }) => path === "data.relabel")
  .map((item) => ({
    ...item,
    flag: "relabel",
    help: "Ids of the references that count as others, such as 4:1, as background (4:0), or are left out (4:ignore); of predictions in a run folder as in the run, unless given",
  }));

export const evaluate: Command = {
  name: "evaluate",
  summary: "Score predicted label files against references: Dice, Jaccard, 95HD, ASD and more",
  positionals: [
    { name: "predictions", help: "Folder of predicted label files", count: "one" },
    {
      name: "references",
      help: "Folder of reference label files of the same names, or a data set",
      count: "one",
    },
  ],
  flags: [
    { name: "out", kind: "text", help: "Folder for summary.json and summary.csv", default: "<predictions>" },
    {
      name: "tolerance",
      kind: "text",
      help: "Distance up to which NSD counts surfaces as equal, mm (voxels where files have no spacing)",
      default: String(defaultTolerance),
    },
    {
      name: "resample",
      kind: "boolean",
      help: "Bring predictions on another grid to that of their reference by nearest neighbour, instead of refusing them",
    },
    {
      name: "paper",
      kind: "boolean",
      help: "Also score by the rule of the SFR authors' scripts: 0 everywhere for a class that the prediction lacks",
    },
  ],
  settings: relabelSetting,
  examples: [
    ["sfr evaluate predictions/ labels/", "Print a table; write summary.json and summary.csv"],
    ["sfr evaluate predictions/ DATASET --json", "References from a data set, scores as JSON"],
    ["sfr evaluate predictions/ labels/ --tolerance 2 --paper", "NSD at 2 mm; the authors' rule beside ours"],
    [
      "sfr evaluate predictions/ labels/ --relabel 2:1,4:1,255:ignore",
      "References whose ids count as others",
    ],
  ],
  async run(args, context) {
    const predictions = args.text("predictions");
    const out = args.optional("out") ?? predictions;
    await context.engine();
    const { scoreFolder } = await import("../../run/score-folder.js");
    const { summarize, writeSummary, writeSummaryCsv } = await import("../../metrics/summary.js");
    const { scoreTable } = await import("../../run/score-table.js");
    const tolerance = parseTolerance(args.optional("tolerance"));
    const { scores, failures, references } = await scoreFolder(predictions, args.text("references"), {
      ...context,
      tolerance,
      resample: args.is("resample"),
      relabel: readRelabelling(args.overrides["data.relabel"]) ?? runRelabelling(predictions, context),
    });
    for (const problem of Object.values(failures)) context.progress.problem(problem);
    if (scores.length === 0) return exitCodes.data;
    const summary = summarize(scores, { tolerance, paper: args.is("paper") });
    await mkdir(out, { recursive: true });
    await writeSummaryCsv(join(out, "summary.csv"), summary);
    await writeSummary(join(out, "summary.json"), summary);
    const rows = [{ name: `${scores.length} of ${references} cases`, summary }];
    if (summary.paper !== undefined)
      rows.push({ name: "authors' rule", summary: { ...summary, ...summary.paper } });
    const table = scoreTable(rows);
    context.result(table, { summary: JSON.parse(JSON.stringify(summary)), failures });
    return Object.keys(failures).length === 0 ? exitCodes.ok : exitCodes.someCasesFailed;
  },
};

function readRelabelling(given: unknown): Relabelling | undefined {
  const [setting] = relabelSetting;
  if (given === undefined || setting === undefined) return undefined;
  const parsed = configSchema.shape.data.shape.relabel.safeParse(parseFlag(setting, given));
  if (parsed.success) return parsed.data;
  throw new UsageError(`--relabel: expected ${setting.range}, received '${given}'; use 4:1,255:ignore, say`);
}

/** What counted as what in the run that has made the predictions. */
function runRelabelling(predictions: string, { progress }: Context): Relabelling | undefined {
  const relabel = configAround(predictions)?.data.relabel;
  if (relabel === undefined || Object.keys(relabel).length === 0) return undefined;
  const pairs = Object.entries(relabel).map(([id, to]) => `${id}:${to}`);
  progress.note(`references are read with the run's relabel: ${pairs.join(",")}`, "info");
  return relabel;
}

function parseTolerance(text: string | undefined): number {
  const tolerance = text === undefined ? defaultTolerance : Number(text);
  if (text?.trim() === "" || !(tolerance >= 0) || !Number.isFinite(tolerance)) {
    throw new UsageError(`--tolerance: expected a distance of 0 or more, received '${text}'; use 1, say`);
  }
  return tolerance;
}
