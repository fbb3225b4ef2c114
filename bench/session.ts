/** One measuring session: the machine, the Python of the peers, and how an implementation is timed in it. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../src/errors.js";
import { engineInfo } from "../src/native/native.js";
import { commit, version } from "../src/version.js";
import type { BenchCase } from "./case.js";
import { bandwidthCase, sgemmCase } from "./cases.js";
import { type PeerLine, peerLineSchema, runForLine, type WorkerLine, workerLineSchema } from "./process.js";
import { peerRequest } from "./requests.js";

// Seen from dist/bench, where this file runs, in the checkout and in the installed package alike.
const root = fileURLToPath(new URL("../../", import.meta.url));
const defaultRuns = 5;
const slowRuns = 3;
/** Fewer than five runs are enough where one takes longer than this, seconds. */
const slowRun = 20;

/** What holds a peer to a SIMD level: PyTorch's own kernels and its compiler, oneDNN, MKL. */
const peerLevels = {
  v3: { ATEN_CPU_CAPABILITY: "avx2", ONEDNN_MAX_CPU_ISA: "AVX2", MKL_ENABLE_INSTRUCTIONS: "AVX2" },
} as const;

/** What every line of a session says of the machine. */
export interface Machine {
  readonly threads: number;
  readonly simd: string;
  readonly cpu: string;
  readonly version: string;
  readonly compiler: string;
  readonly commit: string | null;
}

export interface SessionOptions {
  /** Interpreter that has the peers' packages; default: the one that bench/peers/setup makes. */
  readonly python?: string;
  /** Timed runs of every implementation; default 5, or 3 where one takes more than 20 s. */
  readonly runs?: number;
  readonly signal?: AbortSignal;
  /** Gets one line for each thing that happens. */
  say(line: string): void;
}

/** Times implementations under the same conditions. */
export class Session {
  readonly machine: Machine = describeMachine();
  /** Interpreter of the peers; undefined when there is none. */
  readonly python: string | undefined;
  private versions: Record<string, string> | undefined;
  /** By SIMD level: GFLOP/s. */
  private readonly sgemm = new Map<BenchCase["simd"], number>();
  private bandwidth: number | undefined;

  /** @throws UsageError when the interpreter that was named does not exist */
  constructor(readonly options: SessionOptions) {
    const usual = join(root, "bench", "peers", ".venv", "bin", "python");
    if (options.python !== undefined && !existsSync(options.python))
      throw new UsageError(
        `bench: expected an interpreter for --python, received ${options.python}, which does not exist`,
      );
    this.python = options.python ?? (existsSync(usual) ? usual : undefined);
    if (this.python === undefined)
      options.say(
        "no peer ran: bench/peers/.venv is missing; `bench/peers/setup` makes it, --python names another",
      );
  }

  /** Times our implementation. With `check` its result is held against that file first. */
  ours(item: BenchCase, check?: string): Promise<WorkerLine> {
    const { runs, signal } = this.options;
    const worker = fileURLToPath(new URL("sfr-worker.js", import.meta.url));
    const args = ["--expose-gc", worker, "--request", JSON.stringify(item.request)];
    args.push("--threads", String(this.machine.threads), "--tolerance", String(item.tolerance));
    args.push("--runs", String(runs ?? Math.max(item.runs ?? 0, defaultRuns)));
    args.push("--slow-runs", String(runs ?? slowRuns));
    if (item.simd !== undefined) args.push("--simd", item.simd);
    if (check !== undefined) args.push("--check", check);
    if (item.profile !== undefined) args.push("--profile", item.profile);
    return runForLine(process.execPath, args, workerLineSchema, { signal });
  }

  /** Times a peer, which writes its first result to `check`. */
  async peer(item: BenchCase, setting: string, check: string): Promise<PeerLine> {
    const { runs, signal } = this.options;
    const script = join(root, "bench", "peers", `${item.request.work.replace("-", "_")}.py`);
    const time = (count: number) => {
      const args = [script, "--case", JSON.stringify(peerRequest(item.request)), "--setting", setting];
      args.push("--threads", String(this.machine.threads), "--runs", String(count), "--check", check);
      const environment = item.simd === undefined ? {} : peerLevels[item.simd];
      return runForLine(this.python ?? "python3", args, peerLineSchema, { signal, environment });
    };
    const line = await time(runs ?? item.runs ?? defaultRuns);
    const isTooShort = runs === undefined && line.runs < defaultRuns && line.median_s < slowRun;
    return isTooShort ? time(defaultRuns) : line;
  }

  /** Version of a peer's library; null when the interpreter does not tell. */
  libraryVersion(impl: string): string | null {
    const script =
      "import importlib.metadata as m, json; " +
      "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))";
    this.versions ??= packageVersions(this.python ?? "python3", script);
    const library = impl.split("-")[0] ?? impl;
    return this.versions[library === "pytorch" ? "torch" : library] ?? null;
  }

  /** GFLOP/s of a 4096-cubed f32 matrix product at a level, the faster of ours and the peer's; measured once. */
  async sgemmSpeed(scratch: string, simd: BenchCase["simd"]): Promise<number> {
    const known = this.sgemm.get(simd);
    if (known !== undefined) return known;
    const item = simd === undefined ? sgemmCase : { ...sgemmCase, simd };
    const ours = await this.ours(item);
    const gflop = ours.gflop ?? 0;
    const speeds = [gflop / ours.min_s];
    const { say } = this.options;
    say(`sgemm ${sgemmCase.name}: sfr ${(gflop / ours.min_s).toFixed(0)} GFLOP/s`);
    if (this.python !== undefined) {
      const peer = await this.peer(item, "default", join(scratch, "sgemm.safetensors"));
      speeds.push(gflop / peer.min_s);
      say(`sgemm ${sgemmCase.name}: ${peer.impl} ${(gflop / peer.min_s).toFixed(0)} GFLOP/s`);
    }
    const fastest = Math.max(...speeds);
    this.sgemm.set(simd, fastest);
    return fastest;
  }

  /** GB/s of one pass over tensors that no cache holds, by our own threads; measured once. */
  async memoryBandwidth(): Promise<number> {
    if (this.bandwidth !== undefined) return this.bandwidth;
    const { bytes, min_s } = await this.ours(bandwidthCase);
    this.bandwidth = (bytes ?? 0) / min_s / 1e9;
    this.options.say(`memory: ${this.bandwidth.toFixed(1)} GB/s`);
    return this.bandwidth;
  }
}

function packageVersions(python: string, script: string): Record<string, string> {
  try {
    const text = execFileSync(python, ["-c", script], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return JSON.parse(text) as Record<string, string>;
  } catch {
    return {};
  }
}

function describeMachine(): Machine {
  const { threads, simd, compiler } = engineInfo();
  return {
    threads,
    simd,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    version,
    compiler,
    commit: commit(),
  };
}
