import type { Setting } from "../config/settings.js";
import type { Progress } from "../io/progress.js";
import type { JsonValue } from "../io/stage-key.js";
import type { EngineInfo } from "../native/native.js";

/** Exit codes of every command. */
export const exitCodes = {
  ok: 0,
  internal: 1,
  usage: 2,
  data: 3,
  someCasesFailed: 4,
  device: 5,
  interrupted: 130,
  terminated: 143,
} as const;

/** What each exit code means, for help and reference page. */
export const exitCodeMeanings: readonly (readonly [code: number, meaning: string])[] = [
  [exitCodes.ok, "all done"],
  [exitCodes.internal, "internal error"],
  [exitCodes.usage, "wrong usage or configuration"],
  [exitCodes.data, "an input is wrong or cannot be read"],
  [exitCodes.someCasesFailed, "finished, but some cases failed"],
  [exitCodes.device, "device or memory not available"],
  [exitCodes.interrupted, "stopped by SIGINT after writing a checkpoint"],
  [exitCodes.terminated, "stopped by SIGTERM after writing a checkpoint"],
];

/** A word on the command line without dashes. */
export interface Positional {
  readonly name: string;
  readonly help: string;
  /** `one`: must be given; `optional`; `many`: one or more. */
  readonly count: "one" | "optional" | "many";
}

/** A flag that is no setting. */
export interface Flag {
  readonly name: string;
  readonly kind: "text" | "boolean" | "integer";
  readonly help: string;
  readonly required?: boolean;
  /** Shown in the help; the command itself applies it. */
  readonly default?: string;
}

/** A verb of `sfr`. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly Positional[];
  /** What stands after `--`, taken as it is; absent: nothing may. */
  readonly call?: Positional | undefined;
  readonly flags: readonly Flag[];
  /** Settings of the configuration that flags can override. */
  readonly settings: readonly Setting[];
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** @returns the exit code; default 0 */
  run(args: Arguments, context: Context): Promise<number | undefined>;
}

/** What was given on the command line, checked against the command's lists. */
export interface Arguments {
  /** Value of a positional or flag that must be given. */
  text(name: string): string;
  optional(name: string): string | undefined;
  /** Words after `--`. */
  readonly call: readonly string[];
  /** Values of a positional of which there may be many. */
  many(name: string): readonly string[];
  is(name: string): boolean;
  /** Whole number of a flag, at least `minimum`. @throws UsageError */
  integer(name: string, minimum: number): number | undefined;
  /** Text of the settings that were given, by path. */
  readonly overrides: Readonly<Record<string, unknown>>;
}

/** What a command may use besides its arguments. */
export interface Context {
  /** Aborted by SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** The one way to standard error and to the log. */
  readonly progress: Progress;
  /** Prints the result on standard output: `text`, or with --json the value. */
  result(text: string, value: JsonValue): void;
  /** Loads the addon and sets its threads and memory limit. @throws DeviceError when it is not built or does not load here */
  engine(): Promise<EngineInfo>;
}

/** The flag of commands that write a folder. */
export const outFlag = (help: string, fallback?: string): Flag => ({
  name: "out",
  kind: "text",
  help,
  ...(fallback === undefined ? { required: true } : { default: fallback }),
});

/** The flag of commands that read volumes. */
export const frameFlag: Flag = {
  name: "frame",
  kind: "integer",
  help: "Which volume of 4D images to take, counted from 0",
};

/** Flags of every command. */
export const commonFlags: readonly Flag[] = [
  { name: "json", kind: "boolean", help: "Print the result as one JSON value on standard output" },
  { name: "quiet", kind: "boolean", help: "No progress on standard error" },
  {
    name: "log-file",
    kind: "text",
    help: "File to add JSON lines to: the call, stages, progress, warnings, the error with its stack, the exit code",
  },
  {
    name: "threads",
    kind: "integer",
    help: "Threads of the engine",
    default: "all that affinity and cgroup allow",
  },
  {
    name: "memory",
    kind: "text",
    help: "Memory that the process may use (8GB); a training that needs more computes values again, which takes longer",
    default: "what is available less 2 GB",
  },
  { name: "debug", kind: "boolean", help: "Print the stack of an error" },
];
