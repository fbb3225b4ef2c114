import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { imageFiles } from "../data/layouts/layout.js";
import { largestGeometry } from "../data/preprocessing-plan.js";
import { readGrid } from "../data/volume-file.js";
import { isCaseError, messageOf } from "../error-text.js";
import { CancelledError, DataError } from "../errors.js";
import { hashFiles } from "../io/hash-files.js";
import type { Progress } from "../io/progress.js";
import { stageKey } from "../io/stage-key.js";
import { engineInfo } from "../native/native.js";
import type { SummedWindows } from "../predict/sliding-window.js";
import type { VolumeLabels } from "../predict/volume-labels.js";
import { writeColorTable } from "../run/label-legend.js";
import { caseFile } from "../run/stage.js";
import {
  type BatchSettings,
  batchPaths,
  fileState,
  labelCase,
  type ReadCase,
  readCase,
  removeResults,
  writeCase,
} from "./case-work.js";
import type { BatchCase } from "./cases.js";
import { type Claim, Claims } from "./claims.js";
import { EngineShare, type EngineTimes } from "./engine-share.js";
import { type BatchRecord, Manifest } from "./manifest.js";
import { caseBytes, formatBytes, MemoryGate } from "./memory.js";
import type { BatchModel } from "./model.js";
import { writeReview } from "./review.js";

export interface BatchOptions {
  readonly cases: readonly BatchCase[];
  /** Folder of the results; other processes may work on the same cases in it. */
  readonly out: string;
  readonly model: BatchModel;
  readonly settings: BatchSettings;
  /** Draw a picture of every case, and write the ranking and the page of all of them at the end. */
  readonly review: boolean;
  /** For the progress line: `predict`. */
  readonly title: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** What has become of the cases, and what this process has done of it. */
export interface BatchResult extends EngineTimes {
  /** A record of each case, in their order. */
  readonly records: readonly BatchRecord[];
  /** Cases that this process has labelled. */
  readonly labelled: number;
  /** From the first reading to the last writing of this process, seconds. */
  readonly seconds: number;
}

/** A case of which this process has the claim, in memory. */
interface WorkItem {
  readonly read: ReadCase;
  readonly claim: Claim;
  /** Gives its room in memory free. */
  readonly leave: () => void;
}

/** What is to be finished and written. */
interface LabelledCase {
  readonly windows: SummedWindows;
  /** Time in the engine's queue, seconds. */
  readonly seconds: number;
}

/** One is read, one labelled, one written. */
const volumesAtATime = 3;
/** Buffers and garbage of JavaScript itself while it reads and writes, bytes; some 50 MB were seen. */
const ownBytes = 100e6;
/** Headers that are read at a time for the estimate. */
const headersAtATime = 16;
/** How often a process without work looks for what others have finished or left, milliseconds. */
const lookEvery = 200;

/**
 * Labels cases: while the engine works on one, the next is read and the one before is written. Finished cases of the
 * same content, weights and settings are left as they are. A case that fails is recorded and the rest goes on. Any
 * number of processes can work on the same folder; each ends when all of its cases have been worked on by somebody.
 *
 * @throws DataError when the folder cannot be written; CancelledError when stopped: at most the case in work is lost
 */
export async function runBatch(options: BatchOptions): Promise<BatchResult> {
  await mkdir(options.out, { recursive: true }).catch((error: unknown) => {
    throw new DataError(
      `${options.out}: expected to make this folder, received ${messageOf(error)}; check the path`,
    );
  });
  await using manifest = await Manifest.open(join(options.out, batchPaths.manifest));
  using claims = await Claims.open(join(options.out, batchPaths.claims));
  return await new Batch(options, manifest, claims).run();
}

class Batch {
  /** SHA-256 of weights and settings. */
  private readonly work: string;
  /** Cases that this process has not taken and nobody has finished as far as it knows. */
  private readonly pending = new Map<string, BatchCase>();
  /** Ids of the cases that need no more work. */
  private readonly concluded = new Set<string>();
  private readonly stop = new AbortController();
  private readonly signal: AbortSignal;
  private gate = new MemoryGate(0);
  private labelled = 0;
  private lastWrite = 0;
  private readonly engine: EngineShare;

  constructor(
    private readonly options: BatchOptions,
    private readonly manifest: Manifest,
    private readonly claims: Claims,
  ) {
    const { model, settings, signal } = options;
    this.engine = new EngineShare(model.network);
    this.work = stageKey({ format: 1, weights: model.hash, ...settings, post: { ...settings.post } });
    this.signal = signal === undefined ? this.stop.signal : AbortSignal.any([signal, this.stop.signal]);
  }

  async run(): Promise<BatchResult> {
    const { cases, title, progress } = this.options;
    for (const entry of cases) {
      if (await this.isDone(entry)) this.concluded.add(entry.id);
      else this.pending.set(entry.id, entry);
    }
    this.gate = new MemoryGate(await this.planMemory());
    const start = performance.now();
    this.lastWrite = start;
    progress.begin(title, cases.length, this.concluded.size, "cases");
    await this.labelAll();
    await this.claims.sweep();
    progress.end((performance.now() - start) / 1000);
    await this.writeSummaries();
    return {
      records: cases.flatMap(({ id }) => this.manifest.get(id) ?? []),
      labelled: this.labelled,
      seconds: (this.lastWrite - start) / 1000,
      ...this.engine.total(),
    };
  }

  /**
   * Reading and writing begin when the engine has its first window of the case between them: what they do in one go
   * would keep it waiting. A write does not wait for a case that is not read yet: it may be another process's, which
   * waits for the one to be written.
   */
  private async labelAll(): Promise<void> {
    const nothing: Promise<WorkItem | undefined> = Promise.resolve(undefined);
    let next = this.next();
    let isNextRead = false;
    let write: (() => Promise<void>) | undefined;
    let writing = Promise.resolve();
    const beginWriting = () => {
      if (write !== undefined) writing = toBeAwaited(write());
      write = undefined;
    };
    try {
      for (let item = await next; item !== undefined; item = await next) {
        const current = item;
        next = nothing;
        const goOn = () => {
          if (next === nothing) {
            isNextRead = false;
            next = toBeAwaited(this.next());
            void next.then(
              () => {
                isNextRead = true;
              },
              () => undefined,
            );
          }
          beginWriting();
        };
        const result = await this.label(current, goOn);
        goOn();
        await writing;
        if (result !== undefined) write = () => this.write(current, result);
        if (!isNextRead) beginWriting();
      }
    } catch (error) {
      this.stop.abort();
      throw error;
    } finally {
      beginWriting();
      await Promise.allSettled([writing]);
      const left = await next.catch(() => undefined);
      if (left !== undefined) await this.giveFree(left);
    }
    await writing;
  }

  /** Whether an earlier start has labelled this image with the same weights and settings. */
  private async isDone({ problem, ...entry }: BatchCase): Promise<boolean> {
    const [{ id }, files] = [entry, imageFiles(entry)];
    const record = this.manifest.get(id);
    if (record?.work !== this.work || record.status !== "done" || problem !== undefined) return false;
    if (record.labels === undefined || !existsSync(join(this.options.out, record.labels))) return false;
    try {
      const { bytes, modified } = await fileState(files);
      if (record.source?.bytes !== bytes) return false;
      // A copy of the file has another time, but the same content.
      return record.source.modified === modified || record.source.sha256 === (await hashFiles(files));
    } catch {
      return false;
    }
  }

  /** Says what the work will need. @returns bytes that are left for volumes */
  private async planMemory(): Promise<number> {
    const { model, progress } = this.options;
    const { memoryBytes } = engineInfo();
    const added = model.network.addedBytes + (model.locator?.addedBytes ?? 0);
    const network = process.memoryUsage.rss() + added + ownBytes;
    let largest = 0;
    const entries = [...this.pending.values()];
    for (let i = 0; i < entries.length; i += headersAtATime) {
      const some = entries.slice(i, i + headersAtATime).map((entry) => this.bytesOf(entry).catch(() => 0));
      // Those that cannot be read fail in their turn.
      largest = Math.max(largest, ...(await Promise.all(some)));
    }
    const limit = memoryBytes === 0 ? "" : `; ${formatBytes(memoryBytes)} may be used`;
    if (entries.length > 0)
      progress.note(
        `memory: ${formatBytes(network)} for the program with its ${model.title}, ${formatBytes(largest)} for the ` +
          `largest volume, at most ${volumesAtATime} volumes at a time${limit}`,
        "info",
      );
    return memoryBytes === 0 ? Number.POSITIVE_INFINITY : memoryBytes - network;
  }

  private async bytesOf({ id, image }: BatchCase): Promise<number> {
    const { model, settings } = this.options;
    const geometry = largestGeometry(model.card.plan, await readGrid(image, settings.frame), id);
    return caseBytes(geometry, model.network, settings.maps);
  }

  /** Takes and reads the next case; waits while others work on all that are left. @returns undefined at the end */
  private async next(): Promise<WorkItem | undefined> {
    for (let looks = 0; ; looks++) {
      await this.conclude();
      for (const entry of this.pending.values()) {
        this.throwIfStopped();
        const claim = await this.claims.take(caseFile(entry.id, ""));
        const item = claim === undefined ? undefined : await this.begin(entry, claim);
        if (item !== undefined) return item;
      }
      if (this.pending.size === 0) return undefined;
      if (looks === 0) this.options.progress.note(`${this.pending.size} cases are in work elsewhere`, "info");
      await setTimeout(lookEvery);
    }
  }

  /** Takes note of what other processes have recorded. */
  private async conclude(): Promise<void> {
    for (const id of await this.manifest.refresh()) {
      if (this.manifest.get(id)?.work !== this.work || !this.pending.delete(id)) continue;
      this.concluded.add(id);
      this.options.progress.update(this.concluded.size);
    }
  }

  /** Reads a case that was claimed. @returns undefined when it is finished or has failed */
  private async begin(entry: BatchCase, claim: Claim): Promise<WorkItem | undefined> {
    let leave = () => {};
    try {
      // Another process may have finished it before the claim.
      await this.conclude();
      if (!this.pending.delete(entry.id)) {
        await claim.release();
        return undefined;
      }
      if (entry.problem !== undefined) throw new DataError(entry.problem);
      leave = await this.gate.enter(entry.id, await this.bytesOf(entry));
      this.throwIfStopped();
      const { settings, model } = this.options;
      return { read: await readCase(entry, settings, model, this.signal), claim, leave };
    } catch (error) {
      leave();
      await this.failOrThrow(entry, claim, error);
      return undefined;
    }
  }

  private async label(item: WorkItem, onBegin: () => void): Promise<LabelledCase | undefined> {
    const { model, settings } = this.options;
    this.engine.begin();
    const start = performance.now();
    try {
      const windows = await labelCase(item.read, model, settings, { signal: this.signal, onBegin });
      this.engine.end();
      return { windows, seconds: (performance.now() - start) / 1000 };
    } catch (error) {
      for (const channel of item.read.channels) channel.dispose();
      item.leave();
      await this.failOrThrow(item.read.entry, item.claim, error);
      return undefined;
    }
  }

  private async write(item: WorkItem, { windows, seconds }: LabelledCase): Promise<void> {
    const { read, claim } = item;
    const { out, model, settings, review } = this.options;
    const start = performance.now();
    let result: VolumeLabels | undefined;
    try {
      result = await windows.finish();
      // Taken over by another process while this one stood still: that one writes it.
      if (!(await claim.isOurs())) return;
      const written = await writeCase(out, read, result, model, settings, review);
      await this.record(read.entry, {
        status: "done",
        source: read.source,
        ...written,
        confidence: result.meanConfidence,
        foregroundConfidence: result.foregroundConfidence,
        seconds: { read: read.seconds, label: seconds, write: (performance.now() - start) / 1000 },
      });
      this.labelled++;
      this.lastWrite = performance.now();
    } catch (error) {
      await this.failOrThrow(read.entry, claim, error);
    } finally {
      result?.dispose();
      await this.giveFree(item);
    }
  }

  /** Records a case as failed when the error concerns it alone; its claim is free in any case. */
  private async failOrThrow(entry: BatchCase, claim: Claim, error: unknown): Promise<void> {
    try {
      if (!isCaseError(error)) throw error;
      this.options.progress.problem(messageOf(error));
      await removeResults(this.options.out, entry);
      await this.record(entry, { status: "failed", source: null, error: messageOf(error) });
    } finally {
      await claim.release();
    }
  }

  private async record(
    { id, image }: BatchCase,
    what: Omit<BatchRecord, "id" | "image" | "work" | "worker" | "finished">,
  ): Promise<void> {
    const { work } = this;
    const worker = `${hostname()}:${process.pid}`;
    const finished = new Date().toISOString();
    // Absolute, since others may read the manifest in another folder.
    await this.manifest.append({ id, image: resolve(image), work, ...what, worker, finished });
    this.concluded.add(id);
    this.options.progress.update(this.concluded.size);
  }

  private async giveFree({ read, claim, leave }: WorkItem): Promise<void> {
    for (const channel of read.channels) channel.dispose();
    leave();
    await claim.release();
  }

  /** What is about all cases of the folder; one process at a time, and the last to end writes the last word. */
  private async writeSummaries(): Promise<void> {
    const { out, model, review } = this.options;
    let claim = await this.claims.take(batchPaths.review);
    while (claim === undefined) {
      await setTimeout(lookEvery);
      claim = await this.claims.take(batchPaths.review);
    }
    try {
      await writeColorTable(out, model.card);
      if (!review) return;
      await this.manifest.refresh();
      const records = this.manifest.all().filter(({ work }) => work === this.work);
      await writeReview(out, records, model.card);
    } finally {
      await claim.release();
    }
  }

  private throwIfStopped(): void {
    if (this.signal.aborted) throw new CancelledError(`${this.options.title}: stopped on request`);
  }
}

/** A promise whose failure waits for whoever awaits it; without one it would end the process. */
function toBeAwaited<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
