import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Command, exitCodes } from "../command.js";

export const evaluate: Command = {
  name: "evaluate",
  summary: "Score predicted label files against references: Dice, Jaccard, 95HD, ASD",
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
  ],
  settings: [],
  examples: [
    ["sfr evaluate predictions/ labels/", "Print a table; write summary.json and summary.csv"],
    ["sfr evaluate predictions/ DATASET --json", "References from a data set, scores as JSON"],
  ],
  async run(args, context) {
    const predictions = args.text("predictions");
    const out = args.optional("out") ?? predictions;
    await context.engine();
    const { scoreFolder } = await import("../../run/score-folder.js");
    const { summarize, writeSummary, writeSummaryCsv } = await import("../../run/summary.js");
    const { scoreTable } = await import("../../run/score-table.js");
    const { scores, failures, references } = await scoreFolder(predictions, args.text("references"), context);
    for (const problem of Object.values(failures)) context.progress.problem(problem);
    if (scores.length === 0) return exitCodes.data;
    const summary = summarize(scores);
    await mkdir(out, { recursive: true });
    await writeSummaryCsv(join(out, "summary.csv"), summary);
    await writeSummary(join(out, "summary.json"), summary);
    const table = scoreTable([{ name: `${scores.length} of ${references} cases`, summary }]);
    context.result(table, { summary: JSON.parse(JSON.stringify(summary)), failures });
    return Object.keys(failures).length === 0 ? exitCodes.ok : exitCodes.someCasesFailed;
  },
};
