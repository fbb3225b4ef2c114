import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { InferenceEngine } from "../onnxruntime/engine.js";
import type { BatchOptions, BatchResult } from "./batch.js";

/** What a worker process is told, as data: whatever else it needs it loads by itself. */
export interface WorkerOrder extends Pick<BatchOptions, "cases" | "out" | "settings" | "review" | "title"> {
  /** Weights file or run folder. */
  readonly weights: string;
  /** SAM's checkpoint, where it is not the one that the run folder says. */
  readonly checkpoint: string | null;
  readonly engine: InferenceEngine;
  readonly threads: number;
  /** 0: no limit. */
  readonly memoryBytes: number;
}

/** What one process has done of a batch. */
export type WorkerShare = Pick<BatchResult, "labelled" | "seconds" | "inferring" | "busy">;

const program = fileURLToPath(new URL("./worker.js", import.meta.url));

/**
 * Further processes that work on a batch beside this one, which share the cases with it by claim files and end when all
 * are concluded. They end at once when this process does.
 */
export class Workers implements AsyncDisposable {
  private readonly processes: readonly ChildProcess[];
  private readonly shares: readonly Promise<WorkerShare | undefined>[];

  /** Starts a process for each order. */
  constructor(orders: readonly WorkerOrder[]) {
    this.processes = orders.map(() => fork(program, { stdio: ["ignore", "ignore", "inherit", "ipc"] }));
    this.shares = this.processes.map(shareOf);
    for (const [i, order] of orders.entries()) this.processes[i]?.send(order);
  }

  /** What each has done, once it has ended; undefined for one that has failed, which it has said itself. */
  ended(): Promise<(WorkerShare | undefined)[]> {
    return Promise.all(this.shares);
  }

  /** Stops those that still work, each losing at most the case it is at, and waits for their ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.processes) child.kill("SIGTERM");
    await this.ended();
  }
}

async function shareOf(child: ChildProcess): Promise<WorkerShare | undefined> {
  let share: WorkerShare | undefined;
  child.on("message", (message: WorkerShare) => {
    share = message;
  });
  // One that could not be started, or told, has ended as well.
  child.on("error", () => undefined);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit").catch(() => undefined);
  return share;
}
