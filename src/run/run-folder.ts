import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DataError, UsageError } from "../errors.js";
import { writeFileAtomic } from "../io/atomic-file.js";
import { EventLog, type RunEvent, readEvents } from "../io/event-log.js";
import { firstDifference, type JsonValue } from "../io/stage-key.js";
import type { LoadingReport } from "../models/sam/loading.js";
import { FolderLock } from "./folder-lock.js";

const eventFile = "events.jsonl";

/** `partial`: all stages ended, but some cases failed. `stopped`: ended by a signal, goes on with the next start. */
export type RunStatus = "running" | "done" | "partial" | "stopped" | "failed";

/** What a run is: its settings and where it is computed. */
export interface RunIdentity {
  /** All settings that decide the result, with defaults filled in. */
  readonly config: JsonValue;
  readonly seed: number;
  /** Versions of this package, Node and libraries by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** SIMD level of the CPU kernels. Results are equal bit by bit only within one level. */
  readonly cpuLevel: string;
  readonly device: string;
}

/** One stage of a run (an arm's stage has the arm in its name: `retrain/mean-teacher`). */
export interface StageRecord {
  readonly name: string;
  /** `stageKey` of everything that the stage's result depends on. */
  readonly key: string;
  readonly status: RunStatus;
  /** Time spent in it over all starts, in seconds; after a kill without what followed the last checkpoint. */
  readonly wallSeconds: number;
  readonly error?: string;
}

/** What happened to one case. */
export interface CaseRecord {
  readonly status: "done" | "failed";
  readonly error?: string;
}

/** Content of `run.json`. */
export interface RunRecord extends RunIdentity {
  readonly format: 1;
  readonly status: RunStatus;
  /** ISO 8601, UTC. */
  readonly created: string;
  readonly updated: string;
  /** SHA-256 of each input file by case id or name. */
  readonly inputs: Readonly<Record<string, string>>;
  /** SHA-256 of each weight file by name. */
  readonly weights: Readonly<Record<string, string>>;
  /** What was taken from each weight file, by name. */
  readonly loading: Readonly<Record<string, LoadingReport>>;
  readonly stages: readonly StageRecord[];
  readonly cases: Readonly<Record<string, CaseRecord>>;
  /** Largest resident memory of the process so far, in bytes. */
  readonly peakRssBytes: number;
}

/**
 * A run's folder: `run.json`, `events.jsonl` and `lock`, and whatever the stages put beside them. One process
 * writes it at a time. `await using` gives it free.
 */
export class RunFolder {
  private readonly log: EventLog;
  private readonly startTimes = new Map<string, number>();
  /** Ids of the cases that have failed since this start; those of earlier ones are tried again. */
  private readonly failedCases = new Set<string>();
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    readonly path: string,
    private readonly lock: FolderLock,
    private current: RunRecord,
    /** Sentences on what differs from the first start without forbidding to go on. */
    readonly warnings: readonly string[],
  ) {
    this.log = new EventLog(join(path, eventFile));
  }

  /**
   * Makes the folder or goes on with the run in it. A run that failed before its first step, as one with a mistyped
   * setting does, is replaced by one of another configuration.
   *
   * @throws UsageError when the folder holds another run of another configuration or seed (naming the first key that
   *   differs), or another process writes it
   * @throws DataError when it cannot be written, or its `run.json` is damaged
   */
  static async open(path: string, identity: RunIdentity): Promise<RunFolder> {
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      throw new DataError(`run folder: expected to make ${path}, received ${String(error)}; check the path`, {
        cause: error,
      });
    }
    const lock = FolderLock.acquire(path);
    try {
      const before = runToGoOnWith(path, identity);
      const folder = new RunFolder(path, lock, begin(before, identity), warningsFor(before, identity));
      await folder.update({});
      return folder;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** The content of `run.json` as it stands. */
  get record(): RunRecord {
    return this.current;
  }

  /** Path of a file in the folder. */
  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Adds hashes of inputs or weights to the record. */
  async addHashes(hashes: Partial<Pick<RunRecord, "inputs" | "weights">>): Promise<void> {
    await this.update({
      inputs: { ...this.current.inputs, ...hashes.inputs },
      weights: { ...this.current.weights, ...hashes.weights },
    });
  }

  /** Records what was taken from a weight file. */
  async recordLoading(name: string, report: LoadingReport): Promise<void> {
    await this.update({ loading: { ...this.current.loading, [name]: report } });
  }

  /** Whether a stage has ended with this key and without a failed case, so that its files can be used as they are. */
  isDone(stage: string, key: string): boolean {
    const record = this.stage(stage);
    return record !== undefined && record.key === key && record.status === "done";
  }

  /** Marks a stage as running. Its time goes on from earlier starts when the key is the same. */
  async startStage(stage: string, key: string): Promise<void> {
    const before = this.stage(stage);
    const wallSeconds = before?.key === key ? before.wallSeconds : 0;
    this.startTimes.set(stage, performance.now());
    await this.putStage({ name: stage, key, status: "running", wallSeconds });
  }

  /** Brings the stage's time up to date; call it with each checkpoint. */
  async checkpointStage(stage: string): Promise<void> {
    await this.putStage(this.timed(stage));
  }

  /**
   * Marks a stage as ended.
   *
   * @param error one line on what went wrong, for `failed` and `partial`
   */
  async endStage(stage: string, status: Exclude<RunStatus, "running">, error?: string): Promise<void> {
    const record = { ...this.timed(stage), status };
    this.startTimes.delete(stage);
    await this.putStage(error === undefined ? record : { ...record, error });
  }

  /** Records a stage whose files another run has computed. */
  async adoptStage(record: StageRecord): Promise<void> {
    await this.putStage(record);
  }

  /** Records how a case ended. What failed once in this start stays so, whatever other arms make of the case. */
  async recordCase(id: string, record: CaseRecord): Promise<void> {
    if (record.status === "failed") this.failedCases.add(id);
    else if (this.failedCases.has(id)) return;
    await this.update({ cases: { ...this.current.cases, [id]: record } });
  }

  /** Appends a line to `events.jsonl`. */
  event(event: RunEvent): void {
    this.log.append(event);
  }

  /** Drops the lines of a stage after `step`, the last one a checkpoint holds (see EventLog.dropAfter). */
  async dropEventsAfter(stage: string, step: number, arm?: string): Promise<void> {
    await this.log.dropAfter(stage, step, arm);
  }

  /** All lines of `events.jsonl`. */
  events(): RunEvent[] {
    return readEvents(this.log.path);
  }

  /** Writes how the run ended and gives the folder free. Without it a run stays `running`, as after a kill. */
  async close(status: Exclude<RunStatus, "running">): Promise<void> {
    await this.update({ status });
    await this[Symbol.asyncDispose]();
  }

  /** Gives the folder free; a second call does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.log.close();
    await this.writing.catch(() => undefined);
    this.lock.release();
  }

  private stage(name: string): StageRecord | undefined {
    return this.current.stages.find((stage) => stage.name === name);
  }

  private timed(name: string): StageRecord {
    const record = this.stage(name);
    const start = this.startTimes.get(name);
    if (record === undefined || start === undefined) {
      throw new UsageError(
        `run folder: expected stage ${name} to be running, received none; call startStage first`,
      );
    }
    const now = performance.now();
    this.startTimes.set(name, now);
    return { ...record, wallSeconds: record.wallSeconds + (now - start) / 1000 };
  }

  private async putStage(record: StageRecord): Promise<void> {
    const stages = this.current.stages.filter((stage) => stage.name !== record.name);
    const index = this.current.stages.findIndex((stage) => stage.name === record.name);
    stages.splice(index < 0 ? stages.length : index, 0, record);
    await this.update({ stages });
  }

  /** Changes the record and writes it; writes follow one another in the order of the calls. */
  private async update(change: Partial<RunRecord>): Promise<void> {
    const updated = new Date().toISOString();
    const peakRssBytes = Math.max(this.current.peakRssBytes, process.resourceUsage().maxRSS * 1024);
    this.current = { ...this.current, ...change, updated, peakRssBytes };
    const text = `${JSON.stringify(this.current, null, 2)}\n`;
    this.writing = this.writing
      .catch(() => undefined)
      .then(() => writeFileAtomic(this.file("run.json"), Buffer.from(text)));
    await this.writing;
  }
}

/**
 * Reads the `run.json` of a folder; undefined when there is none.
 *
 * @throws DataError when it cannot be read or is no record of this format
 */
export function readRunRecord(folder: string): RunRecord | undefined {
  const path = join(folder, "run.json");
  try {
    const record: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof record === "object" && record !== null && "format" in record && record.format === 1) {
      return record as RunRecord;
    }
    throw new Error("no run record of format 1");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return undefined;
    }
    const received = error instanceof Error ? error.message : String(error);
    throw new DataError(
      `run folder: expected a run record in ${path}, received ${received}; use a new folder`,
      {
        cause: error,
      },
    );
  }
}

function runToGoOnWith(path: string, now: RunIdentity): RunRecord | undefined {
  const before = readRunRecord(path);
  if (before === undefined) return undefined;
  const difference =
    firstDifference(before.config, now.config) ?? firstDifference(before.seed, now.seed, "seed");
  if (difference === undefined) return before;
  if (before.status === "failed" && readEvents(join(path, eventFile)).length === 0) return undefined;
  const show = (value: JsonValue | undefined) => (value === undefined ? "nothing" : JSON.stringify(value));
  throw new UsageError(
    `run folder: expected ${difference.key} = ${show(difference.before)} as in ${join(path, "run.json")}, ` +
      `received ${show(difference.now)}; choose another folder with --out, or the old settings to go on`,
  );
}

function begin(before: RunRecord | undefined, identity: RunIdentity): RunRecord {
  const now = new Date().toISOString();
  const empty = {
    created: now,
    inputs: {},
    weights: {},
    loading: {},
    stages: [],
    cases: {},
    peakRssBytes: 0,
  };
  const { config, seed, versions, cpuLevel, device } = identity;
  // A stage that a kill left running is not done; what it is, its checkpoint decides.
  const stages = (before?.stages ?? []).map(
    (stage): StageRecord => (stage.status === "running" ? { ...stage, status: "stopped" } : stage),
  );
  return {
    ...{ format: 1, status: "running", config, seed, versions, cpuLevel, device },
    ...(before ?? empty),
    ...{ format: 1, status: "running", versions, cpuLevel, device, stages, updated: now },
  };
}

function warningsFor(before: RunRecord | undefined, now: RunIdentity): string[] {
  if (before === undefined) {
    return [];
  }
  const names = ["cpuLevel", "device", "versions"] as const;
  return names.flatMap((name) => {
    const difference = firstDifference(before[name], now[name], name);
    return difference === undefined
      ? []
      : [
          `${difference.key} was ${JSON.stringify(difference.before)} when this run began and is ` +
            `${JSON.stringify(difference.now)} now: results may differ in the last bits`,
        ];
  });
}
