/** `npm run bench -- NAME [--case NAME] [--runs N] [--json FILE] [--python PATH]` */
import { realpathSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SfrError, UsageError } from "../src/errors.js";
import { readSafetensors } from "../src/io/safetensors.js";
import { type BenchCase, benchCases } from "./cases.js";
import { checkAgainstPeer } from "./check.js";
import type { PeerLine } from "./process.js";
import { appendLines, type BenchLine, benchLineSchema } from "./result.js";
import { Session, type SessionOptions } from "./session.js";
import { benchTable } from "./table.js";

export interface BenchOptions extends Omit<SessionOptions, "say"> {
  /** File to append the lines to; default bench/results/<name>.jsonl of the working directory. */
  readonly json?: string;
  /** The only case to run. */
  readonly caseName?: string;
  /** Gets one line for each thing that happens; default standard error. */
  readonly say?: (line: string) => void;
}

/**
 * Runs a bench: every case is checked against the first peer, then each implementation is timed in a process of its own.
 * Appends the lines to the results and prints a table.
 *
 * @throws UsageError for an unknown bench or case; SfrError when our result is not the peer's, before it is timed
 */
export async function runBench(name: string, options: BenchOptions = {}): Promise<BenchLine[]> {
  const lines = await runCases(name, benchCases(name, options.caseName), options, benchCases(name));
  process.stdout.write(`${benchTable(lines)}\n`);
  return lines;
}

/** Runs `cases` of the bench `name`; smaller cases are looked up in `known`. */
export async function runCases(
  name: string,
  cases: readonly BenchCase[],
  options: BenchOptions = {},
  known: readonly BenchCase[] = cases,
): Promise<BenchLine[]> {
  const say = options.say ?? ((line) => process.stderr.write(`${line}\n`));
  warnOfLoad(say);
  const session = new Session({ ...options, say });
  const scratch = await mkdtemp(join(tmpdir(), "sfr-bench-"));
  const path = options.json ?? join("bench", "results", `${name}.jsonl`);
  const lines: BenchLine[] = [];
  const queue = [...cases];
  try {
    for (const item of queue) {
      const { found, tooLarge } = await runCase(session, name, item, scratch);
      await appendLines(path, found);
      lines.push(...found);
      const smaller = known.find((other) => other.name === item.smaller);
      if (tooLarge && smaller !== undefined && !queue.includes(smaller)) queue.push(smaller);
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return lines;
}

/** All implementations of one case: the first peer, ours once its result is found equal, then the other peers. */
async function runCase(
  session: Session,
  bench: string,
  item: BenchCase,
  scratch: string,
): Promise<{ found: BenchLine[]; tooLarge: boolean }> {
  const { say } = session.options;
  const where = `${bench} ${item.name}`;
  const tooLarge = session.python !== undefined && !fits(item, where, say);
  const settings = session.python === undefined || tooLarge ? [] : item.settings;
  const peers: PeerLine[] = [];
  let reference: string | undefined;
  let ours: Awaited<ReturnType<Session["ours"]>> | undefined;
  for (const setting of settings) {
    const check = join(scratch, `${item.name}-${setting}.safetensors`);
    const line = await timePeer(session, item, setting, check, where);
    if (line === undefined) continue;
    if (reference !== undefined) await comparePeers(`${where}, ${line.impl}`, item, reference, check);
    peers.push(line);
    if (reference === undefined) {
      reference = check;
      ours = await session.ours(item, check);
      say(`${where}: sfr ${ours.median_s.toFixed(3)} s, error ${ours.max_error_vs_peer}`);
    }
  }
  if (ours === undefined) {
    ours = await session.ours(item);
    say(`${where}: sfr ${ours.median_s.toFixed(3)} s, held against no peer`);
  }
  const { gflop } = ours;
  const sgemm = gflop === null ? null : await session.sgemmSpeed(scratch);
  const { version, compiler, ...machine } = session.machine;
  const line = (impl: string, own: PeerLine | typeof ours, versions: Partial<BenchLine>): BenchLine => {
    const gflops = gflop === null ? null : gflop / own.median_s;
    const { median_s, min_s, max_s, runs, peak_rss_bytes } = own;
    const shown = { median_s, min_s, max_s, runs, peak_rss_bytes, peak_device_bytes: null, gflop, gflops };
    return benchLineSchema.parse({
      ...{ bench, case: item.name, impl, dtype: "f32", device: "cpu", ...shown },
      share_of_sgemm: gflops === null || sgemm === null ? null : gflops / sgemm,
      max_error_vs_peer: null,
      ...machine,
      ...versions,
    });
  };
  const found = [
    line("sfr", ours, { version, compiler, max_error_vs_peer: ours.max_error_vs_peer }),
    ...peers.map((own) => line(own.impl, own, { version: session.libraryVersion(own.impl), compiler: null })),
  ];
  return { found, tooLarge };
}

/** @returns undefined when the peer fails, which is said and does not end the bench */
async function timePeer(
  session: Session,
  item: BenchCase,
  setting: string,
  check: string,
  where: string,
): Promise<PeerLine | undefined> {
  const { say } = session.options;
  try {
    const line = await session.peer(item, setting, check);
    say(`${where}: ${line.impl} ${line.median_s.toFixed(3)} s`);
    return line;
  } catch (error) {
    if (!(error instanceof SfrError) || error.code === "cancelled") throw error;
    say(`${where}: peer ${setting} did not run: ${error.message}`);
    return undefined;
  }
}

/** Peers must agree with each other too: else one of them times something else. */
async function comparePeers(where: string, item: BenchCase, reference: string, other: string): Promise<void> {
  const values = new Map<string, number[]>();
  for (const [name, { data }] of (await readSafetensors(other)).tensors)
    values.set(name, Array.from<number | bigint, number>(data, Number));
  checkAgainstPeer(where, values, (await readSafetensors(reference)).tensors, item.tolerance);
}

function fits(item: BenchCase, where: string, say: (line: string) => void): boolean {
  const available = process.availableMemory();
  if (available >= item.peerBytes) return true;
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  const instead = item.smaller === undefined ? "" : `; they are timed on ${item.smaller} instead`;
  say(
    `${where}: peers need about ${gigabytes(item.peerBytes)}, ${gigabytes(available)} are free, so none runs here${instead}`,
  );
  return false;
}

function warnOfLoad(say: (line: string) => void): void {
  const [load = 0] = loadavg();
  if (load > 0.5)
    say(`load average ${load.toFixed(1)} on ${availableParallelism()} cores: others disturb these times`);
}

function readCommandLine(): { name: string; options: BenchOptions } {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: text, runs: text, case: text, python: text },
  });
  const [name, surplus] = positionals;
  if (name === undefined || surplus !== undefined)
    throw new UsageError(
      "bench: expected one NAME; npm run bench -- NAME [--case NAME] [--runs N] [--json FILE]",
    );
  const { json, case: caseName, python } = values;
  const runs = values.runs === undefined ? undefined : Number(values.runs);
  if (runs !== undefined && (!Number.isInteger(runs) || runs < 1))
    throw new UsageError(`bench: expected an integer >= 1 for --runs, received '${values.runs}'`);
  return {
    name,
    options: {
      ...(json === undefined ? {} : { json }),
      ...(caseName === undefined ? {} : { caseName }),
      ...(python === undefined ? {} : { python }),
      ...(runs === undefined ? {} : { runs }),
    },
  };
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const { name, options } = readCommandLine();
    await runBench(name, options);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}
