import { join } from "node:path";
import { resolveConfig } from "../config/load.js";
import type { Config } from "../config/schema.js";
import { settings } from "../config/settings.js";
import type { JsonValue } from "../io/stage-key.js";
import type { LastStage } from "../run/pipeline.js";
import { type Arguments, type Command, type Context, exitCodes, type Flag, outFlag } from "./command.js";
import { deviceFlags, trainingEngine } from "./device-flags.js";

/** What differs between the commands that run stages of a configuration. */
interface StageCommand {
  readonly name: string;
  readonly summary: string;
  readonly until: LastStage;
  readonly examples: Command["examples"];
}

/** A command that runs the stages of a configuration up to one of them, in a run folder that `run` goes on with. */
export function stageCommand({ name, summary, until, examples }: StageCommand): Command {
  return {
    name,
    summary,
    positionals: [{ name: "config", help: "Configuration file (YAML)", count: "one" }],
    flags: [
      outFlag("Run folder; a started run of the same configuration in it goes on", "runs/<name>"),
      ...deviceFlags,
      skipCheckFlag,
    ],
    settings,
    examples,
    async run(args, context) {
      const config = resolveConfig(args.text("config"), args.overrides);
      return runStagesOf(config, runFolderOf(args, config), until, context, args);
    },
  };
}

/** The flag of commands that train. */
export const skipCheckFlag: Flag = {
  name: "skip-check",
  kind: "boolean",
  help: "Do not check the data before the training, as `sfr check` does",
};

/** Folder of a run: --out, or runs/<name>. */
function runFolderOf(args: Arguments, config: Config): string {
  return args.optional("out") ?? join("runs", config.name);
}

/** Runs stages on the device of the flags and prints what they gave. @returns the exit code */
export async function runStagesOf(
  config: Config,
  out: string,
  until: LastStage,
  context: Context,
  args: Arguments,
): Promise<number> {
  const engine = await trainingEngine(args, context);
  const skipCheck = args.is("skip-check");
  const { failureLines, runPipeline } = await import("../run/pipeline.js");
  const { scoreTable } = await import("../run/score-table.js");
  const { progress, signal } = context;
  const result = await runPipeline(config, { out, until, engine, skipCheck, progress, signal });
  const { scores, labelNames, notes, report, failures } = result;
  const text = [
    ...(scores.length > 0 ? [scoreTable(scores, labelNames), "", notes.join(" ")] : []),
    ...failureLines(failures),
    ...(report === undefined ? [`Run folder: ${out}`] : [`Report: ${report}`]),
  ].join("\n");
  const value: JsonValue = {
    status: result.status,
    out,
    report: report ?? null,
    arms: Object.fromEntries(
      scores.map(({ name, summary, wallSeconds }) => [
        name,
        {
          wall_seconds: wallSeconds ?? null,
          distance_unit: summary.distance_unit,
          foreground_mean: { ...summary.foreground_mean },
          foreground_sd: { ...summary.foreground_sd },
          mean: JSON.parse(JSON.stringify(summary.mean)) as JsonValue,
          n_valid: JSON.parse(JSON.stringify(summary.n_valid)) as JsonValue,
        },
      ]),
    ),
    notes,
    failures,
  };
  context.result(text, value);
  return result.status === "partial" ? exitCodes.someCasesFailed : exitCodes.ok;
}
