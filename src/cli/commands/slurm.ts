import { fileURLToPath } from "node:url";
import { UsageError } from "../../errors.js";
import { type Command, commonFlags, type Flag } from "../command.js";
import { memoryLimit } from "../memory-limit.js";
import { slurmScript } from "../slurm-script.js";

/** Commands whose processes share the cases or jobs of a folder. */
const sharing = ["pseudo-label", "predict", "sweep"];

/** Threads of a task when nobody says how many. */
const usualThreads = 4;

/** A flag of every command with another meaning. */
const ofEachTask = (name: string, help: string, fallback: string): Flag => ({
  name,
  kind: commonFlags.find((flag) => flag.name === name)?.kind ?? "text",
  help,
  default: fallback,
});

export const slurm: Command = {
  name: "slurm",
  summary:
    "Print a Slurm array job in which several processes share a cohort or a sweep, by the call after `--`",
  positionals: [],
  call: { name: "call", help: `A call of ${sharing.join(", ")}, without \`sfr\``, count: "many" },
  flags: [
    { name: "tasks", kind: "integer", help: "Processes at a time", required: true },
    ofEachTask("threads", "Threads of each task", String(usualThreads)),
    ofEachTask("memory", "Memory of each task (8GB)", "the cluster's own"),
    { name: "time", kind: "text", help: "Time limit of each task as Slurm reads it (04:00:00)" },
    { name: "partition", kind: "text", help: "Partition of the cluster" },
  ],
  settings: [],
  examples: [
    [
      "sfr slurm --tasks 8 --time 04:00:00 -- pseudo-label --model runs/my --input cohort --out labels > job.sh",
      "Write a job; submit it with `sbatch job.sh`",
    ],
  ],
  async run(args, context) {
    const [command = "", ...words] = args.call;
    if (!sharing.includes(command)) {
      throw new UsageError(
        `slurm: expected a call of one of ${sharing.join(", ")} after \`--\`, received '${command}'; correct it`,
      );
    }
    const threads = args.integer("threads", 1) ?? usualThreads;
    const memory = args.optional("memory");
    const own = [process.execPath, fileURLToPath(new URL("../cli.js", import.meta.url))];
    const limits = ["--threads", String(threads), ...(memory === undefined ? [] : ["--memory", memory])];
    const script = slurmScript({
      tasks: args.integer("tasks", 1) ?? 1,
      threads,
      // The kernel counts more to a task than the program knows of: file caches, Node itself.
      memoryBytes: memory === undefined ? undefined : memoryLimit(memory) * 1.25,
      time: args.optional("time"),
      partition: args.optional("partition"),
      folder: process.cwd(),
      words: [...own, command, ...words, ...limits],
    });
    context.result(script, { script });
    return undefined;
  },
};
