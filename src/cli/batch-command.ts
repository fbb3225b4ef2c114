import { join } from "node:path";
import type { BatchSettings } from "../batch/case-work.js";
import { findCases, shardOf } from "../batch/cases.js";
import type { CohortResult } from "../batch/cohort.js";
import { parseFlag } from "../config/load.js";
import { predictSettings, type Voxels } from "../config/schema.js";
import { settings } from "../config/settings.js";
import { DataError, UsageError } from "../errors.js";
import type { InferenceEngine } from "../onnxruntime/engine.js";
import type { KeptMaps } from "../predict/volume-labels.js";
import { type Arguments, type Context, exitCodes, type Flag, frameFlag } from "./command.js";
import { engineFlags, enginesOf } from "./engine-flags.js";

/** The flag `--stride`. */
export const strideSetting = settings
  .filter(({ path }) => path === "predict.stride")
  .map((item) => ({
    ...item,
    flag: "stride",
    help: "Step between windows; null: patch/4, patch/2 for SAM",
  }));

/** Flags of the commands that label many volumes. */
export const batchFlags: readonly Flag[] = [
  frameFlag,
  ...engineFlags,
  {
    name: "sam-checkpoint",
    kind: "text",
    help: "SAM's checkpoint, for weights that are LoRA updates of it",
    default: "as the run folder says",
  },
  {
    name: "maps",
    kind: "text",
    help: "Maps beside the labels, NIfTI with bytes 0..255 for 0..1: none, confidence (of each voxel's class) or probabilities (of every class)",
  },
  { name: "largest-component", kind: "boolean", help: "Keep only the largest component of each class" },
  { name: "fill-holes", kind: "boolean", help: "Fill holes that one class alone encloses" },
  {
    name: "min-volume",
    kind: "text",
    help: "Remove components below this volume in mm3 (in voxels where the spacing is unknown)",
  },
  {
    name: "shard",
    kind: "text",
    help: "Only part I of N of the cases, as I/N; not needed for several processes, which share the cases by themselves",
  },
  {
    name: "workers",
    kind: "integer",
    help: "Processes that share the cases, the threads and the memory on this machine",
    default: "1, with --gpus as many as it names",
  },
];

/** What differs between the commands. */
export interface BatchCommand {
  readonly title: string;
  /** Weights file or run folder. */
  readonly model: string;
  readonly inputs: readonly string[];
  readonly out: string;
  readonly maps: KeptMaps;
  readonly weighting: BatchSettings["weighting"];
  readonly mirror: boolean;
  readonly review: boolean;
}

/** Labels volumes and prints what became of them. @returns the exit code */
export async function runBatchCommand(
  command: BatchCommand,
  args: Arguments,
  context: Context,
): Promise<number> {
  const { title, out, review, weighting, mirror } = command;
  const batchSettings: BatchSettings = {
    frame: args.integer("frame", 0) ?? null,
    stride: readStride(args.overrides["predict.stride"]),
    weighting,
    mirror,
    maps: readMaps(args.optional("maps"), command.maps),
    post: {
      largestComponent: args.is("largest-component"),
      fillHoles: args.is("fill-holes"),
      minVolume: readVolume(args.optional("min-volume")),
    },
  };
  const engines = await workerEngines(args, context);
  const found = await findCases(command.inputs);
  const shard = args.optional("shard");
  const cases = shard === undefined ? found : shardOf(found, shard);
  if (cases.length === 0)
    throw new DataError(
      `${title}: expected at least one case, received none of ${found.length}; choose fewer shards`,
    );
  const checkpoint = args.optional("sam-checkpoint") ?? null;
  const { labelCohort } = await import("../batch/cohort.js");
  const order = { cases, out, settings: batchSettings, review, title, weights: command.model, checkpoint };
  return report(await labelCohort(order, engines, context), command, context);
}

/** An engine for each process. @throws UsageError when --workers says another number than --gpus */
async function workerEngines(args: Arguments, context: Context): Promise<InferenceEngine[]> {
  const workers = args.integer("workers", 1);
  const engines = await enginesOf(args, context);
  const [engine, ...others] = engines;
  if (engine === undefined || workers === undefined || workers === engines.length) return engines;
  if (others.length > 0)
    throw new UsageError(
      `--workers: expected ${engines.length}, one for each of --gpus, received ${workers}; leave it out`,
    );
  return Array.from({ length: workers }, () => engine);
}

function report(
  { records, labelled, seconds, busy, processes }: CohortResult,
  { out, review, title }: BatchCommand,
  context: Context,
): number {
  const failures = Object.fromEntries(
    records.flatMap(({ status, image, error = "" }) => (status === "failed" ? [[image, error]] : [])),
  );
  const written = records.flatMap(({ labels }) => (labels === undefined ? [] : [join(out, labels)]));
  if (labelled > 0) {
    const each = (seconds / labelled).toPrecision(3);
    const share =
      busy === null
        ? ""
        : `; the engine worked ${(100 * busy).toFixed(1)} % of the time from the first window to the last`;
    const by = processes === 1 ? "here" : `here by ${processes} processes`;
    context.progress.note(`${title}: ${labelled} cases labelled ${by}, ${each} s per case${share}`, "info");
  }
  const pages = review ? [join(out, "ranking.csv"), join(out, "review.html")] : [];
  context.result([...written, ...pages].join("\n"), {
    written,
    failures,
    labelled,
    seconds,
    engine_busy: busy,
    ...(review ? { ranking: pages[0], review: pages[1] } : {}),
  });
  if (written.length === records.length) return exitCodes.ok;
  return written.length === 0 ? exitCodes.data : exitCodes.someCasesFailed;
}

function readStride(given: unknown): Voxels | null {
  const [setting] = strideSetting;
  if (given === undefined || setting === undefined) return null;
  const parsed = predictSettings.shape.stride.safeParse(parseFlag(setting, given));
  if (parsed.success) return parsed.data;
  throw new UsageError(
    `--stride: expected ${setting.range}, received ${JSON.stringify(given)}; correct the value`,
  );
}

function readMaps(text: string | undefined, fallback: KeptMaps): KeptMaps {
  const known: readonly KeptMaps[] = ["none", "confidence", "probabilities"];
  const found = text === undefined ? fallback : known.find((name) => name === text);
  if (found !== undefined) return found;
  throw new UsageError(`--maps: expected one of ${known.join(", ")}, received '${text}'; choose one`);
}

function readVolume(text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(
    `--min-volume: expected a number of mm3 above 0, received '${text}'; correct the value`,
  );
}
