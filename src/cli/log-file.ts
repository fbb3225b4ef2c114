import { type Logger, pino } from "pino";
import { UsageError } from "../errors.js";
import { version } from "../version.js";

/**
 * Opens a log of JSON lines, one record each, after what the file holds already. The first record has the call, the last
 * one, written when the process ends, the exit code. Lines are written at once: a kill loses none.
 *
 * @param line arguments without node and script
 * @throws UsageError when the file cannot be written
 */
export function openLogFile(path: string, line: readonly string[]): Logger {
  let failure: NodeJS.ErrnoException | undefined;
  let isOpen = false;
  const stream = openStream(path);
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (isOpen && failure === undefined) {
      process.stderr.write(
        `sfr: --log-file: expected to write ${path}, received ${reason(error)}; the lines are tried again later\n`,
      );
    }
    failure ??= error;
  });
  const log = pino(
    {
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    stream,
  );
  const call = { event: "start", arguments: line, folder: process.cwd(), version, node: process.version };
  log.info(call, `sfr ${line.join(" ")}`);
  if (failure !== undefined) throw refusal(path, failure);
  isOpen = true;
  process.once("exit", (code) => {
    log.info({ event: "exit", code, seconds: process.uptime() }, `exit code ${code}`);
  });
  return log;
}

function openStream(path: string): ReturnType<typeof pino.destination> {
  try {
    return pino.destination({ dest: path, sync: true, append: true });
  } catch (error) {
    throw refusal(path, error);
  }
}

function refusal(path: string, error: unknown): UsageError {
  return new UsageError(
    `--log-file: expected a file that can be written, received ${reason(error)} for ${path}; name another one`,
    { cause: error },
  );
}

function reason(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
