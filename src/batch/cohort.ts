import type { Progress } from "../io/progress.js";
import { configureEngine, engineInfo } from "../native/native.js";
import { type InferenceEngine, nativeDevice } from "../onnxruntime/engine.js";
import { type BatchResult, runBatch } from "./batch.js";
import { formatBytes } from "./memory.js";
import { loadBatchModel } from "./model.js";
import { type WorkerOrder, type WorkerShare, Workers } from "./workers.js";

/** What became of a cohort, and what the processes of this call have done of it. */
export interface CohortResult extends Pick<BatchResult, "records" | "labelled" | "seconds"> {
  readonly processes: number;
  /** Share of the time from the first window to the last in which the engines of all processes worked; null on a device. */
  readonly busy: number | null;
}

/**
 * Labels cases in this process and in one more for each engine beyond the first; threads and memory are divided.
 *
 * @throws what loadBatchModel and runBatch throw; the other processes have ended then
 */
export async function labelCohort(
  order: Omit<WorkerOrder, "engine" | "threads" | "memoryBytes">,
  engines: readonly InferenceEngine[],
  { progress, signal }: { progress: Progress; signal: AbortSignal },
): Promise<CohortResult> {
  const [engine = { kind: "native" }, ...others] = engines;
  const part = partOf(1 + others.length, progress);
  configureEngine({ ...part, cuda: nativeDevice(engine) });
  const { weights, checkpoint, ...batch } = order;
  const note = (text: string) => progress.note(text, "info");
  // Before the others begin, so that an ONNX file is written once.
  const model = await loadBatchModel(weights, checkpoint, { engine, note, signal });
  using _ = model.network;
  using __ = model.locator;
  await using workers = new Workers(others.map((other) => ({ ...order, ...part, engine: other })));
  const { records, ...own } = await runBatch({ ...batch, model, progress, signal });
  const shares = [own, ...(await workers.ended())].flatMap((share) => share ?? []);
  const lost = engines.length - shares.length;
  if (lost > 0)
    progress.note(`${lost} of ${engines.length} processes ended early; the others did their cases`);
  const sum = (of: (share: WorkerShare) => number) => shares.reduce((total, share) => total + of(share), 0);
  const inferring = sum((share) => share.inferring);
  const busy = inferring === 0 ? 0 : sum((share) => share.busy) / inferring;
  return {
    records,
    processes: engines.length,
    labelled: sum(({ labelled }) => labelled),
    seconds: Math.max(...shares.map(({ seconds }) => seconds)),
    // The time of the CPU's threads says nothing of a device's.
    busy: nativeDevice(engine) === null ? busy : null,
  };
}

/** What each of some processes may use of this one's threads and memory. */
function partOf(processes: number, progress: Progress): Pick<WorkerOrder, "threads" | "memoryBytes"> {
  const { threads: all, memoryBytes: limit } = engineInfo();
  const threads = Math.max(1, Math.floor(all / processes));
  const memoryBytes = Math.floor(limit / processes);
  const memory = memoryBytes === 0 ? "" : `, ${formatBytes(memoryBytes)}`;
  if (processes > 1) progress.note(`${processes} processes, each with: threads ${threads}${memory}`, "info");
  return { threads, memoryBytes };
}
