import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { DataError } from "../errors.js";
import { writeFileAtomic } from "./atomic-file.js";

/** One line of `events.jsonl`. */
export interface RunEvent {
  /** `finetune`, `retrain`, `predict`, ... */
  readonly stage: string;
  /** Name of the arm when a run has several. */
  readonly arm?: string;
  /** Case id, for stages that go through cases. */
  readonly case?: string;
  /** Steps or cases that are done, from 1. */
  readonly step: number;
  readonly total: number;
  /** Total loss of the step. */
  readonly loss?: number;
  /** Parts of the loss by name. */
  readonly terms?: Readonly<Record<string, number>>;
  /** Learning rate. */
  readonly lr?: number;
  /** Expected time to the end of the stage, in seconds. */
  readonly eta?: number;
}

/** The append-only record of a run. A line is handed to the system as a whole; a kill can only cut the last one. */
export class EventLog {
  private descriptor: number | undefined;

  constructor(readonly path: string) {}

  /**
   * Adds a line. NaN and infinite numbers become null.
   *
   * @throws DataError when the disk is full
   */
  append(event: RunEvent): void {
    try {
      this.descriptor ??= openSync(this.path, "a");
      const bytes = Buffer.from(`${JSON.stringify(event)}\n`);
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.descriptor, bytes, done);
      }
    } catch (error) {
      throw new DataError(
        `events: expected to write ${this.path}, received ${String(error)}; check free space and permissions`,
        { cause: error },
      );
    }
  }

  /**
   * Drops the lines of a stage (and arm) after `step`, the last one a checkpoint holds, and lines that a kill cut
   * off. Run this before the stage goes on, so that curves hold each step once.
   *
   * @param step 0 drops all of the stage
   */
  async dropAfter(stage: string, step: number, arm?: string): Promise<void> {
    this.close();
    const lines = splitLines(this.path);
    const kept = lines.filter((line) => {
      const event = parseEvent(line);
      return event !== undefined && !(event.stage === stage && event.arm === arm && event.step > step);
    });
    await writeFileAtomic(this.path, Buffer.from(kept.map((line) => `${line}\n`).join("")));
  }

  close(): void {
    if (this.descriptor !== undefined) {
      closeSync(this.descriptor);
      this.descriptor = undefined;
    }
  }
}

/**
 * Reads `events.jsonl`; a line that a kill cut off is left out. A missing file gives no events.
 *
 * @throws DataError when the file cannot be read
 */
export function readEvents(path: string): RunEvent[] {
  return splitLines(path)
    .map(parseEvent)
    .filter((event) => event !== undefined);
}

function splitLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return [];
    }
    throw new DataError(`events: expected to read ${path}, received ${String(error)}; check the file`, {
      cause: error,
    });
  }
}

function parseEvent(line: string): RunEvent | undefined {
  try {
    const event: unknown = JSON.parse(line);
    const isEvent = typeof event === "object" && event !== null && "stage" in event && "step" in event;
    return isEvent ? (event as RunEvent) : undefined;
  } catch {
    return undefined;
  }
}
