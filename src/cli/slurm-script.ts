/** What a job needs. */
export interface SlurmJob {
  /** Processes that work on the cases at a time. */
  readonly tasks: number;
  readonly threads: number;
  /** Memory of a task, bytes; undefined: the cluster's default. */
  readonly memoryBytes: number | undefined;
  /** As Slurm reads it: `04:00:00`. */
  readonly time: string | undefined;
  readonly partition: string | undefined;
  /** Folder that the words' paths are relative to. */
  readonly folder: string;
  /** Program and words of a task. */
  readonly words: readonly string[];
}

/**
 * A Slurm array job whose tasks share the cases of one folder. A task that is killed, preempted or out of time loses the
 * case in work only: another one, or its own next start, goes on with it.
 */
export function slurmScript({
  tasks,
  threads,
  memoryBytes,
  time,
  partition,
  folder,
  words,
}: SlurmJob): string {
  const directives = [
    "job-name=sfr",
    `array=1-${tasks}`,
    "ntasks=1",
    `cpus-per-task=${threads}`,
    ...(memoryBytes === undefined ? [] : [`mem=${Math.ceil(memoryBytes / 2 ** 20)}M`]),
    ...(time === undefined ? [] : [`time=${time}`]),
    ...(partition === undefined ? [] : [`partition=${partition}`]),
    "requeue",
    "output=sfr-%A_%a.log",
  ];
  return [
    "#!/bin/bash",
    ...directives.map((directive) => `#SBATCH --${directive}`),
    "# Every task takes the next case that nobody works on; submit the script again to go on after a stop.",
    `cd ${quoted(folder)}`,
    // In the place of the shell, so that Slurm's signals arrive.
    `exec ${words.map(quoted).join(" ")}`,
    "",
  ].join("\n");
}

/** A word as the shell takes it literally. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
