import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DataError, SfrError, UsageError } from "../errors.js";
import type { SliceFile } from "./slice-file.js";

/** What the process says: once that it can begin, then one answer for each path. */
export type SliceAnswer =
  | { readonly kind: "ready" }
  | { readonly kind: "slice"; readonly slice: SliceFile }
  | { readonly kind: "failed"; readonly code: SfrError["code"]; readonly message: string };

/** What reading one file may take. */
export interface SliceLimits {
  readonly seconds: number;
  /** Resident memory of the process, bytes. */
  readonly bytes: number;
}

/** Far more than any slice needs: it takes milliseconds, the process with dcmjs about 100 MB. */
const sliceLimits: SliceLimits = { seconds: 10, bytes: 1 << 30 };
/** Longest that the process may take to begin, seconds: on a busy machine, from a slow disk. */
const START_SECONDS = 60;
/** How often time and memory are looked at, milliseconds. */
const WATCH = 20;

const program = fileURLToPath(new URL("./slice-process.js", import.meta.url));

/**
 * Reads headers of DICOM files in a process of its own, which ends when a file takes too long or too much: dcmjs goes
 * round in circles on some damaged files, or fills the memory. A thread would not do: V8 ends the whole process when one
 * of its threads wants one large piece too many, and array buffers do not count in a thread's limits.
 */
export class SliceReader implements AsyncDisposable {
  #process: ChildProcess | undefined;

  constructor(private readonly limits: SliceLimits = sliceLimits) {}

  /** One file at a time. @throws DataError as readSliceFile, and when it takes more than the limits; UsageError without dcmjs */
  async read(path: string): Promise<SliceFile> {
    if (!this.#process?.connected) this.#process = await start();
    const process = this.#process;
    process.send(path);
    const answer = await answerOf(process, this.limits);
    if (answer?.kind === "slice") return answer.slice;
    if (answer?.kind === "failed") throw errorOf(answer);
    process.kill("SIGKILL");
    this.#process = undefined;
    const { seconds, bytes } = this.limits;
    throw new DataError(
      `${path}: expected a DICOM file that is read in ${seconds} s and ${Math.round(bytes / 2 ** 20)} MB, ` +
        "received one that takes more; it is damaged, copy it again or leave it out",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }
}

async function start(): Promise<ChildProcess> {
  const process = fork(program, { stdio: ["ignore", "ignore", "ignore", "ipc"], execArgv: [] });
  const answer = await answerOf(process, { ...sliceLimits, seconds: START_SECONDS });
  if (answer?.kind === "ready") return process;
  process.kill("SIGKILL");
  if (answer?.kind === "failed") throw errorOf(answer);
  throw new SfrError(
    "internal",
    `dicom: expected the process that reads files to begin within ${START_SECONDS} s, received its end; start again`,
  );
}

/** The next answer of a process; undefined when it has ended first, or was ended for what it took. */
function answerOf(process: ChildProcess, { seconds, bytes }: SliceLimits): Promise<SliceAnswer | undefined> {
  const end = performance.now() + 1000 * seconds;
  return new Promise((resolve) => {
    const watch = setInterval(() => {
      if (performance.now() > end || residentBytes(process) > bytes) process.kill("SIGKILL");
    }, WATCH);
    const settle = (answer?: SliceAnswer) => {
      clearInterval(watch);
      process.off("message", settle).off("exit", ended).off("error", ended);
      resolve(answer);
    };
    const ended = () => settle();
    process.on("message", settle).on("exit", ended).on("error", ended);
  });
}

/** Memory that a process holds, array buffers included; 0 for one that has ended. */
function residentBytes({ pid }: ChildProcess): number {
  try {
    const [, kilobytes] = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return 1024 * Number(kilobytes ?? 0);
  } catch {
    return 0;
  }
}

function errorOf({ code, message }: Extract<SliceAnswer, { kind: "failed" }>): SfrError {
  if (code === "usage") return new UsageError(message);
  return code === "data" ? new DataError(message) : new SfrError(code, message);
}
