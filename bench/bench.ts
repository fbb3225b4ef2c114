/** `npm run bench -- NAME [--case NAME] [--runs N] [--json FILE] [--python PATH]` */
import { realpathSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SfrError, UsageError } from "../src/errors.js";
import { readSafetensors } from "../src/io/safetensors.js";
import type { BenchCase } from "./case.js";
import { benchCases } from "./cases.js";
import { checkAgainstPeer } from "./check.js";
import type { PeerLine, WorkerLine } from "./process.js";
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
  await warnOfLoad(say);
  const session = new Session({ ...options, say });
  const scratch = await mkdtemp(join(tmpdir(), "sfr-bench-"));
  const path = options.json ?? join("bench", "results", `${name}.jsonl`);
  const lines: BenchLine[] = [];
  const queue = [...cases];
  try {
    for (const item of queue) {
      const measured = await measureCase(session, `${name} ${item.name}`, item, scratch);
      const limits: MachineLimits = {
        sgemm: measured.ours.gflop === null ? null : await session.sgemmSpeed(scratch, item.simd),
        bandwidth: measured.ours.bytes === null ? null : await session.memoryBandwidth(),
      };
      const found = resultLines(session, name, item, measured, limits);
      await appendLines(path, found);
      lines.push(...found);
      const smaller = known.find((other) => other.name === item.smaller);
      if (measured.tooLarge && smaller !== undefined && !queue.includes(smaller)) queue.push(smaller);
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return lines;
}

/** What the implementations of one case printed. */
interface Measured {
  readonly ours: WorkerLine;
  readonly peers: readonly PeerLine[];
  /** Whether no peer ran because the memory is too small for them. */
  readonly tooLarge: boolean;
}

/** Times the first peer, ours once its result is found equal, then the other peers. */
async function measureCase(
  session: Session,
  where: string,
  item: BenchCase,
  scratch: string,
): Promise<Measured> {
  const { say } = session.options;
  const tooLarge = session.python !== undefined && !fits("peers need", item.peerBytes, item, where, say);
  const settings = session.python === undefined || tooLarge ? [] : item.settings;
  const peers: PeerLine[] = [];
  let reference: string | undefined;
  let ours: WorkerLine | undefined;
  for (const setting of settings) {
    const bytes = item.settingBytes?.[setting] ?? 0;
    if (!fits(`peer ${setting} needs`, bytes, item, where, say)) continue;
    const check = join(scratch, `${item.name}-${setting}.safetensors`);
    const line = await timePeer(session, item, setting, check, where);
    if (line === undefined) continue;
    if (reference === undefined) {
      reference = check;
      ours = await session.ours(item, check);
      say(`${where}: sfr ${ours.median_s.toFixed(4)} s, error ${ours.max_error_vs_peer?.toExponential(1)}`);
      peers.push(line);
    } else if (await agrees(`${where}: ${line.impl}`, item, reference, check, say)) peers.push(line);
  }
  if (ours === undefined) {
    ours = await session.ours(item);
    say(`${where}: sfr ${ours.median_s.toFixed(4)} s, held against no peer`);
  }
  return { ours, peers, tooLarge };
}

/** What the machine can do at best; null where the case has nothing to relate to it. */
interface MachineLimits {
  /** GFLOP/s. */
  readonly sgemm: number | null;
  /** GB/s. */
  readonly bandwidth: number | null;
}

/** The result lines of a case: ours, the peers', the parts of ours. */
function resultLines(
  session: Session,
  bench: string,
  item: BenchCase,
  { ours, peers }: Measured,
  limits: MachineLimits,
): BenchLine[] {
  const { version, compiler, ...machine } = session.machine;
  const line = (
    impl: string,
    own: Omit<PeerLine, "impl">,
    work: Work,
    more: Partial<BenchLine>,
  ): BenchLine => {
    const { median_s, min_s, max_s, runs, peak_rss_bytes } = own;
    return benchLineSchema.parse({
      ...{ bench, case: item.name, impl, device: "cpu", median_s, min_s, max_s, runs },
      dtype: impl.includes("bf16") ? "bf16" : "f32",
      ...{ peak_rss_bytes, peak_device_bytes: null, ...rates(work, median_s, limits) },
      max_error_vs_peer: null,
      ...machine,
      simd: ours.simd,
      ...more,
    });
  };
  const { request } = item;
  const own = { version, compiler, dtype: ("precision" in request && request.precision) || "f32" };
  const peerWork = { gflop: ours.gflop, bytes: null };
  return [
    line("sfr", ours, ours, { ...own, max_error_vs_peer: ours.max_error_vs_peer }),
    ...peers.map((peer) =>
      line(peer.impl, peer, peerWork, { version: session.libraryVersion(peer.impl), compiler: null }),
    ),
    ...ours.parts.map(({ name, nodes, kernel, ...part }) => {
      const share_of_run = part.median_s / ours.median_s;
      const more = { ...own, case: `${item.name} ${name}`, nodes, kernel, share_of_run };
      return line("sfr", { ...ours, ...part }, part, more);
    }),
  ];
}

/** Work of one run. */
interface Work {
  readonly gflop: number | null;
  readonly bytes: number | null;
}

function rates(
  { gflop, bytes }: Work,
  seconds: number,
  { sgemm, bandwidth }: MachineLimits,
): Partial<BenchLine> {
  const per = (amount: number | null, divisor: number | null) =>
    amount === null || divisor === null ? null : amount / divisor;
  const gflops = per(gflop, seconds);
  const gb_per_s = per(bytes, seconds * 1e9);
  return {
    ...{ gflop, gflops, share_of_sgemm: per(gflops, sgemm) },
    ...{ bytes, gb_per_s, share_of_bandwidth: per(gb_per_s, bandwidth) },
  };
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
    say(`${where}: ${line.impl} ${line.median_s.toFixed(4)} s`);
    return line;
  } catch (error) {
    if (!(error instanceof SfrError) || error.code === "cancelled") throw error;
    say(`${where}: peer ${setting} did not run: ${error.message}`);
    return undefined;
  }
}

/**
 * Whether a peer computes what the first one does. PyTorch's own settings differ by more than we do from the first (its
 * channels-last batch-norm sums millions of voxels in f32): that is said, and only a gross difference drops the line.
 */
async function agrees(
  where: string,
  item: BenchCase,
  reference: string,
  other: string,
  say: (line: string) => void,
): Promise<boolean> {
  const values = new Map<string, number[]>();
  for (const [name, { data }] of (await readSafetensors(other)).tensors)
    values.set(name, Array.from<number | bigint, number>(data, Number));
  const { tensors } = await readSafetensors(reference);
  const error = checkAgainstPeer(where, values, tensors, Number.POSITIVE_INFINITY);
  if (error <= item.tolerance) return true;
  const isGross = !(error <= 30 * item.tolerance);
  say(
    `${where} differs from the first peer by ${error.toExponential(1)}${isGross ? ": its time is dropped" : ""}`,
  );
  return !isGross;
}

/** Whether `bytes` are free for what `who` says; says so when not. */
function fits(
  who: string,
  bytes: number,
  { smaller }: BenchCase,
  where: string,
  say: (line: string) => void,
): boolean {
  const available = process.availableMemory();
  if (available >= bytes) return true;
  const gigabytes = (amount: number) => `${(amount / 1e9).toFixed(1)} GB`;
  const instead = smaller === undefined ? "" : `; timed on ${smaller} instead`;
  say(`${where}: ${who} about ${gigabytes(bytes)}, ${gigabytes(available)} are free: not run here${instead}`);
  return false;
}

/** Half a second of watching the processors: what others do now shows in the times. */
async function warnOfLoad(say: (line: string) => void): Promise<void> {
  const ticks = () =>
    cpus()
      .map(({ times }) => [times.idle, times.user + times.nice + times.sys + times.irq] as const)
      .reduce(([idle, busy], [i, b]) => [idle + i, busy + b], [0, 0]);
  const [idleBefore = 0, busyBefore = 0] = ticks();
  await setTimeout(500);
  const [idleAfter = 0, busyAfter = 0] = ticks();
  const busy = busyAfter - busyBefore;
  const share = busy / Math.max(busy + idleAfter - idleBefore, 1);
  if (share > 0.1)
    say(`other programs keep the processors ${(100 * share).toFixed(0)} % busy: times will be too long`);
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
