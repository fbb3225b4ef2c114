import { existsSync } from "node:fs";
import { mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { messageOf } from "../error-text.js";
import { DataError } from "../errors.js";
import { jsonOf } from "../io/tensor-file.js";
import { parityPath } from "../onnx/export.js";
import type { OnnxRuntime } from "../onnxruntime/runtime.js";
import { exportModel } from "./export-model.js";

export interface ExportedFileOptions {
  /** SHA-256 of all weights, 64 hexadecimal digits. */
  readonly hash: string;
  /** The SAM that LoRA updates belong to; null where there is none. */
  readonly samCheckpoint: string | null;
  /** What will run the file. */
  readonly runtime: OnnxRuntime;
  /** Told the file's path before it is written. */
  onWrite?(path: string): void;
  readonly signal?: AbortSignal | undefined;
}

/** The ONNX file of weights. */
export interface ExportedFile {
  readonly path: string;
  /** What ONNX Runtime took of memory for it when it was written, bytes; 0 where the record of that is gone. */
  readonly memoryBytes: number;
}

const memorySchema = z.object({ memoryBytes: z.number() });

/**
 * The ONNX file of a weights file, beside it under a name with the weights' hash. It is written, and held against the
 * native engine, when it is not there; several processes may do so at once.
 *
 * @throws DataError when the folder cannot be written; SfrError when the file's results are not the native engine's
 */
export async function exportedFile(weights: string, options: ExportedFileOptions): Promise<ExportedFile> {
  const folder = dirname(weights);
  const name = `${basename(weights, ".safetensors")}.${options.hash.slice(0, 12)}.onnx`;
  const path = join(folder, name);
  if (!existsSync(path)) {
    options.onWrite?.(path);
    await write(weights, path, options);
  }
  const record = await readFile(parityPath(path), "utf8").catch(() => undefined);
  return { path, memoryBytes: memorySchema.safeParse(jsonOf(record)).data?.memoryBytes ?? 0 };
}

async function write(
  weights: string,
  path: string,
  { samCheckpoint, runtime, signal }: ExportedFileOptions,
): Promise<void> {
  const folder = dirname(path);
  const draft = await mkdtemp(join(folder, ".onnx-")).catch((error: unknown) => {
    const received = `${messageOf(error)}; make the folder writable, or use --engine native`;
    throw new DataError(
      `${folder}: expected to write the ONNX file of ${basename(weights)}, received ${received}`,
    );
  });
  try {
    const request = { model: weights, out: join(draft, basename(path)), runtime };
    const { files } = await exportModel({ ...request, samCheckpoint: samCheckpoint ?? undefined }, signal);
    // In their order: the model comes last, and who sees it sees the others.
    for (const file of files) await rename(file, join(folder, basename(file)));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
