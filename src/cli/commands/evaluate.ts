import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../../errors.js";
import { defaultTolerance } from "../../metrics/index.js";
import { type Command, exitCodes } from "../command.js";

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
  settings: [],
  examples: [
    ["sfr evaluate predictions/ labels/", "Print a table; write summary.json and summary.csv"],
    ["sfr evaluate predictions/ DATASET --json", "References from a data set, scores as JSON"],
    ["sfr evaluate predictions/ labels/ --tolerance 2 --paper", "NSD at 2 mm; the authors' rule beside ours"],
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

function parseTolerance(text: string | undefined): number {
  const tolerance = text === undefined ? defaultTolerance : Number(text);
  if (text?.trim() === "" || !(tolerance >= 0) || !Number.isFinite(tolerance)) {
    throw new UsageError(`--tolerance: expected a distance of 0 or more, received '${text}'; use 1, say`);
  }
  return tolerance;
}
