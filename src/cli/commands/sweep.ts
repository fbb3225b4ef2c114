import { join } from "node:path";
import { settings } from "../../config/settings.js";
import { type Command, exitCodes, outFlag } from "../command.js";
import { skipCheckFlag } from "../run-command.js";

export const sweep: Command = {
  name: "sweep",
  summary: "Run a grid of methods, seeds and settings as resumable jobs and compare them in one table",
  positionals: [{ name: "grid", help: "Grid (YAML): docs/how-to/sweep.md", count: "one" }],
  flags: [
    outFlag(
      "Folder of the sweep; started again, it goes on, also in several processes at once",
      "runs/<name>",
    ),
    skipCheckFlag,
  ],
  settings,
  examples: [
    [
      "sfr sweep configs/sweeps/phantom-methods.yaml --out runs/methods",
      "Run what is not done yet, write the table",
    ],
    ["sfr sweep my-grid.yaml --data FOLDER", "Flags hold for all jobs, over the grid's settings"],
  ],
  async run(args, context) {
    const { readGrid } = await import("../../sweep/grid.js");
    const { planJobs } = await import("../../sweep/jobs.js");
    const { runSweep } = await import("../../sweep/sweep.js");
    const { sweepText, tableNotes } = await import("../../sweep/table.js");
    const path = args.text("grid");
    const grid = readGrid(path);
    const jobs = planJobs(grid, path, args.overrides);
    const out = args.optional("out") ?? join("runs", grid.name);
    const engine = await context.engine();
    const { progress, signal } = context;
    const { rows, failures, elsewhere, written } = await runSweep(grid, jobs, {
      ...{ out, engine, progress, signal },
      skipCheck: args.is("skip-check"),
    });
    const text = [
      ...(rows.length === 0 ? [] : [sweepText(rows), "", tableNotes(rows).join(" "), ""]),
      ...(elsewhere === 0
        ? []
        : [`${elsewhere} jobs are in work elsewhere; start again for the whole table.`]),
      ...Object.entries(failures).map(([name, error]) => `failed: ${name}: ${error}`),
      ...written,
    ];
    const value = { out, jobs: jobs.length, elsewhere, failures, written, rows };
    context.result(text.join("\n"), JSON.parse(JSON.stringify(value)));
    return Object.keys(failures).length === 0 ? exitCodes.ok : exitCodes.someCasesFailed;
  },
};
