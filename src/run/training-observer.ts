import { rm } from "node:fs/promises";
import type { StepRecord, TrainObserver } from "../graph/train-loop.js";
import { EventWriter } from "../io/tensorboard.js";
import { engineInfo } from "../native/native.js";
import { MemoryWatch } from "./memory-watch.js";
import { type RunContext, runPaths } from "./stage.js";

/** Which training is watched. */
export interface WatchedTraining {
  /** Name of the stage in run.json. */
  readonly stage: string;
  /** Name of the stage in events.jsonl: `finetune` or `retrain`. */
  readonly event: string;
  /** Name of the arm, when the run has several trainings of this stage. */
  readonly arm?: string;
  /** What the progress line calls it. */
  readonly label: string;
  /** Folder under `tensorboard`. */
  readonly curve: string;
}

/** Writes a training's steps to events.jsonl and TensorBoard and shows progress. Dispose it when the training ends. */
export class TrainingObserver implements TrainObserver, Disposable {
  private writer: EventWriter | undefined;
  private steps = 0;
  private startTime = 0;
  private memory: MemoryWatch | undefined;

  constructor(
    private readonly context: RunContext,
    private readonly training: WatchedTraining,
  ) {}

  async onStart(step: number, steps: number, memoryBytes: number): Promise<void> {
    const { folder, progress } = this.context;
    const { event, arm, label, curve } = this.training;
    this.steps = steps;
    this.startTime = performance.now();
    await folder.dropEventsAfter(event, step, arm);
    const curves = folder.file(runPaths.tensorboard, curve);
    // Curves of a start that left no checkpoint.
    if (step === 0) await rm(curves, { recursive: true, force: true });
    this.writer = EventWriter.open(curves, step > 0 ? { resumeAt: step + 1 } : {});
    this.memory = new MemoryWatch(memoryBytes);
    const expected = this.memory.expectedBytes;
    const limit = engineInfo().memoryBytes;
    const excess = limit > 0 && expected > limit ? `, more than the limit of ${gigabytes(limit)}` : "";
    progress.note(`${label}: needs about ${gigabytes(expected)} of memory${excess}`, "info");
    progress.begin(label, steps, step);
  }

  onStep(t: number, record: StepRecord): void {
    const { folder, progress } = this.context;
    const { event, arm } = this.training;
    this.memory?.look();
    const step = t + 1;
    const { loss, learningRate, ...terms } = record;
    const eta = progress.update(step, loss === undefined ? "" : `loss ${loss.toFixed(4)}`);
    folder.event({
      stage: event,
      ...(arm === undefined ? {} : { arm }),
      step,
      total: this.steps,
      ...(loss === undefined ? {} : { loss }),
      terms,
      ...(learningRate === undefined ? {} : { lr: learningRate }),
      ...(eta === null ? {} : { eta: Math.round(eta * 10) / 10 }),
    });
    for (const [name, value] of Object.entries(record)) this.writer?.scalar(name, value, step);
  }

  async onSave(): Promise<void> {
    this.writer?.flush();
    await this.context.folder.checkpointStage(this.training.stage);
  }

  /** Ends the progress line of a training that came to its end. */
  end(): void {
    const peak = this.memory?.peakBytes ?? 0;
    this.context.progress.end(
      (performance.now() - this.startTime) / 1000,
      `took ${gigabytes(peak)} of memory`,
    );
  }

  [Symbol.dispose](): void {
    this.writer?.close();
  }
}

/** Bytes as text. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
