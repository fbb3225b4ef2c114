import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** The program's entry, seen from dist/test/cli. */
const cliPath = fileURLToPath(new URL("../../src/cli/cli.js", import.meta.url));

/** How a call of the program ended. */
export interface Outcome {
  /** Exit code; null after a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A call of the program that goes on. */
export interface Call {
  readonly process: ChildProcess;
  readonly ended: Promise<Outcome>;
}

/** Runs `sfr` with these words and waits for its end. */
export function sfr(...words: string[]): Promise<Outcome> {
  return startSfr(...words).ended;
}

/** Starts `sfr` with these words. */
export function startSfr(...words: string[]): Call {
  return start(process.execPath, [cliPath, ...words]);
}

/**
 * Runs `sfr` where no file can grow beyond so many blocks of 512 bytes; a write then fails with EFBIG, as one on a full
 * disk fails with ENOSPC.
 */
export function sfrWithFileLimit(blocks: number, ...words: string[]): Promise<Outcome> {
  const script = 'ulimit -f "$0" && exec "$@"';
  return start("sh", ["-c", script, String(blocks), process.execPath, cliPath, ...words]).ended;
}

/** Runs `sfr` with a stream sent to the device that is always full. */
export function sfrIntoFullDevice(stream: "stdout" | "stderr", ...words: string[]): Promise<Outcome> {
  const script = `exec "$0" "$@" ${stream === "stdout" ? ">" : "2>"}/dev/full`;
  return start("sh", ["-c", script, process.execPath, cliPath, ...words]).ended;
}

/** Runs `sfr` as if a package were not installed. */
export function sfrWithoutPackage(name: string, ...words: string[]): Promise<Outcome> {
  const module = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const hooks = `export const resolve = (specifier, context, next) => {
    if (specifier === ${JSON.stringify(name)}) throw new Error("Cannot find package '" + specifier + "'");
    return next(specifier, context);
  };`;
  const register = `import { register } from "node:module"; register(${JSON.stringify(module(hooks))});`;
  const env = { ...process.env, NODE_OPTIONS: `--import=${module(register)}` };
  return start(process.execPath, [cliPath, ...words], env).ended;
}

function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Call {
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  const ended = once(child, "close").then(([code]): Outcome => ({ code: code as number | null, ...output }));
  return { process: child, ended };
}
