/** Runs one implementation in a process of its own and reads the JSON line it prints. */
import { spawn } from "node:child_process";
import { z } from "zod";
import { SfrError } from "../src/errors.js";
import { partSchema } from "./profile.js";

const measured = {
  median_s: z.number().positive(),
  min_s: z.number().positive(),
  max_s: z.number().positive(),
  runs: z.int().min(1),
  peak_rss_bytes: z.int().min(0),
  /** A few numbers of the result, for people who look at the line. */
  result: z.array(z.number().nullable()),
};

/** What a script of bench/peers prints. */
export const peerLineSchema = z.object({ impl: z.string(), ...measured });
export type PeerLine = z.infer<typeof peerLineSchema>;

/** What sfr-worker prints. */
export const workerLineSchema = z.object({
  ...measured,
  gflop: z.number().nullable(),
  bytes: z.number().nullable(),
  /** Where the time went, when a profile was asked for. */
  parts: z.array(partSchema),
  max_error_vs_peer: z.number().nullable(),
  simd: z.string(),
  compiler: z.string(),
});
export type WorkerLine = z.infer<typeof workerLineSchema>;

export interface ProcessOptions {
  readonly signal?: AbortSignal | undefined;
  /** Variables in addition to ours. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Runs a program to its end; its last line on standard output is the result.
 *
 * @throws SfrError ("internal") with the end of what the program said when it fails, was killed, or prints something
 *   else; ("cancelled") when `signal` is aborted, which kills the program
 */
export async function runForLine<T>(
  program: string,
  args: readonly string[],
  schema: z.ZodType<T>,
  options: ProcessOptions = {},
): Promise<T> {
  const { signal } = options;
  const { code, stdout, stderr } = await collect(program, args, options);
  const name = args.find((word) => /\.(js|py)$/.test(word)) ?? program;
  if (signal?.aborted) throw new SfrError("cancelled", "bench: stopped on request");
  const fail = (what: string) =>
    new SfrError("internal", `bench: expected ${name} to print its result, received ${what}`);
  if (code !== 0) {
    const said = lastLine(stderr) ?? "no message";
    // Our worker ends with a whole sentence, which is what people should read.
    throw said.startsWith("bench ") ? new SfrError("internal", said) : fail(`exit ${code}: ${said}`);
  }
  try {
    return schema.parse(JSON.parse(lastLine(stdout) ?? ""));
  } catch (error) {
    throw fail(`'${lastLine(stdout) ?? ""}' (${(error as Error).message.split("\n")[0]})`);
  }
}

function lastLine(text: string): string | undefined {
  return text.trimEnd().split("\n").at(-1);
}

function collect(
  program: string,
  args: readonly string[],
  { signal, environment }: ProcessOptions,
): Promise<{ code: number | NodeJS.Signals | string; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env });
    const stop = () => child.kill("SIGKILL");
    signal?.addEventListener("abort", stop, { once: true });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      stdout += part;
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      stderr += part;
    });
    const end = (code: number | NodeJS.Signals | string) => {
      signal?.removeEventListener("abort", stop);
      resolve({ code, stdout, stderr });
    };
    child.on("error", (error) => end(error.message));
    child.on("close", (code, killedBy) => end(code ?? killedBy ?? "unknown"));
  });
}
