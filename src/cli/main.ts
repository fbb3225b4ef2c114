import { messageOf } from "../error-text.js";
import { type ErrorCode, SfrError } from "../errors.js";
import { Progress } from "../io/progress.js";
import { type Arguments, type Command, type Context, exitCodes } from "./command.js";
import { memoryLimit } from "./memory-limit.js";
import { type Invocation, parseCommandLine } from "./parse.js";

const codeOfError: Readonly<Record<Exclude<ErrorCode, "cancelled">, number>> = {
  usage: exitCodes.usage,
  data: exitCodes.data,
  // A tensor that does not fit comes from a file: weights of another network, labels of another volume.
  shape: exitCodes.data,
  dtype: exitCodes.data,
  device: exitCodes.device,
  disposed: exitCodes.internal,
  internal: exitCodes.internal,
};

/** Stops work when the process is asked to end; a second request ends it at once. */
class SignalStop {
  readonly controller = new AbortController();
  private code: number | undefined;

  constructor(private readonly progress: Progress) {
    process.on("SIGINT", () => this.stop(exitCodes.interrupted));
    process.on("SIGTERM", () => this.stop(exitCodes.terminated));
  }

  /** Exit code of the signal that came, if one did. */
  get exitCode(): number | undefined {
    return this.code;
  }

  private stop(code: number): void {
    if (this.code !== undefined) process.exit(code);
    this.code = code;
    this.progress.problem("stopping after the checkpoint; once more to stop at once");
    this.controller.abort();
  }
}

/**
 * Runs a command line and sets the exit code. Errors are one line on standard error; the stack only with --debug.
 *
 * @param line arguments without node and script
 */
export async function main(commands: readonly Command[], line: readonly string[]): Promise<void> {
  let progress = new Progress();
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough (`| head`) is no error.
    if (error.code === "EPIPE") process.exit(exitCodes.ok);
    const received = `received ${error.code ?? error.message}; send it to another place`;
    progress.problem(`standard output: expected to write the result, ${received}`, error);
    process.exit(exitCodes.data);
  });
  // Work of hours does not end because nobody can be told of its progress any more.
  process.stderr.on("error", () => {});
  try {
    const invocation = await parseCommandLine(commands, line);
    if (invocation === undefined) return;
    progress = await openProgress(invocation.args, line);
    process.exitCode = await runInvocation(invocation, progress);
  } catch (error) {
    process.exitCode = report(error, progress, line.includes("--debug"), undefined);
  }
}

/** @throws UsageError when the log cannot be written */
async function openProgress(args: Arguments, line: readonly string[]): Promise<Progress> {
  const quiet = args.is("quiet");
  const path = args.optional("log-file");
  if (path === undefined) return new Progress({ quiet });
  const { openLogFile } = await import("./log-file.js");
  return new Progress({ quiet, log: openLogFile(path, line) });
}

async function runInvocation({ command, args }: Invocation, progress: Progress): Promise<number> {
  const stop = new SignalStop(progress);
  const context: Context = {
    signal: stop.controller.signal,
    progress,
    result: (text, value) => {
      progress.endLine();
      const shown = args.is("json") ? JSON.stringify(value, null, 2) : text;
      process.stdout.write(shown.endsWith("\n") ? shown : `${shown}\n`);
    },
    engine: async () => {
      const { configureEngine, engineInfo } = await import("../native/native.js");
      const threads = args.integer("threads", 1);
      configureEngine({
        memoryBytes: memoryLimit(args.optional("memory")),
        ...(threads === undefined ? {} : { threads }),
      });
      return engineInfo();
    },
  };
  try {
    // Checked here, so that every command refuses it alike.
    args.integer("threads", 1);
    memoryLimit(args.optional("memory"));
    return (await command.run(args, context)) ?? exitCodes.ok;
  } catch (error) {
    return report(error, progress, args.is("debug"), stop.exitCode);
  }
}

/** Prints one line on an error. @returns the exit code */
function report(
  error: unknown,
  progress: Progress,
  isDebug: boolean,
  signalCode: number | undefined,
): number {
  const message = messageOf(error);
  progress.problem(message.replace(/^sfr: /, ""), error);
  if (isDebug && error instanceof Error) process.stderr.write(`${error.stack}\n${causes(error)}`);
  if (error instanceof SfrError) {
    if (error.code === "cancelled") return signalCode ?? exitCodes.interrupted;
    return codeOfError[error.code];
  }
  // What V8 throws when an array buffer does not fit into memory.
  const isMemory =
    error instanceof RangeError && /allocation failed|Invalid typed array length/.test(message);
  return isMemory ? exitCodes.device : exitCodes.internal;
}

function causes(error: Error): string {
  return error.cause instanceof Error ? `caused by ${error.cause.stack}\n${causes(error.cause)}` : "";
}
