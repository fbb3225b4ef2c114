/** The program of a further process of a batch: does its share of what `workers.ts` tells it, and says what it has done. */
import { messageOf } from "../error-text.js";
import { CancelledError } from "../errors.js";
import { Progress } from "../io/progress.js";
import { configureEngine } from "../native/native.js";
import { nativeDevice } from "../onnxruntime/engine.js";
import { runBatch } from "./batch.js";
import { loadBatchModel } from "./model.js";
import type { WorkerOrder, WorkerShare } from "./workers.js";

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort());
// Whoever started this is gone, and with it the reason to go on.
process.on("disconnect", () => process.exit(1));
process.once("message", async (order: WorkerOrder) => {
  // Its cases are on the progress line of the one that started it; problems are told by whoever has them.
  const progress = new Progress({ quiet: true });
  try {
    const share = await work(order, progress);
    process.send?.(share);
  } catch (error) {
    if (!(error instanceof CancelledError)) progress.problem(messageOf(error), error);
    process.exitCode = 1;
  }
  process.removeAllListeners("disconnect");
  process.disconnect();
});

async function work(order: WorkerOrder, progress: Progress): Promise<WorkerShare> {
  const { threads, memoryBytes, weights, checkpoint, engine, ...batch } = order;
  configureEngine({ threads, memoryBytes, cuda: nativeDevice(engine) });
  const { signal } = stop;
  const model = await loadBatchModel(weights, checkpoint, { engine, signal });
  using _ = model.network;
  using __ = model.locator;
  const { records: _records, ...share } = await runBatch({ ...batch, model, progress, signal });
  return share;
}
