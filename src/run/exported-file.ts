import { existsSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../error-text.js";
import { DataError } from "../errors.js";
import { exportModel } from "./export-model.js";

export interface ExportedFileOptions {
  /** SHA-256 of all weights, 64 hexadecimal digits. */
  readonly hash: string;
  /** The SAM that LoRA updates belong to. */
  readonly samCheckpoint?: string;
  /** Told the file's path before it is written. */
  onWrite?(path: string): void;
  readonly signal?: AbortSignal;
}

/**
 * The ONNX file of a weights file, beside it under a name with the weights' hash. It is written, and held against the
 * native engine, when it is not there; several processes may do so at once.
 *
 * @throws DataError when the folder cannot be written; SfrError when the file's results are not the native engine's
 */
export async function exportedFile(
  weights: string,
  { hash, samCheckpoint, onWrite, signal }: ExportedFileOptions,
): Promise<string> {
  const folder = dirname(weights);
  const name = `${basename(weights, ".safetensors")}.${hash.slice(0, 12)}.onnx`;
  const path = join(folder, name);
  if (existsSync(path)) return path;
  onWrite?.(path);
  const draft = await mkdtemp(join(folder, ".onnx-")).catch((error: unknown) => {
    const received = `${messageOf(error)}; make the folder writable, or use --engine native`;
    throw new DataError(
      `${folder}: expected to write the ONNX file of ${basename(weights)}, received ${received}`,
    );
  });
  try {
    const request = { model: weights, out: join(draft, name), samCheckpoint };
    const { files } = await exportModel(request, signal);
    // In their order: the model comes last, and who sees it sees the others.
    for (const file of files) await rename(file, join(folder, basename(file)));
    return path;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
