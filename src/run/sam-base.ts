import { DataError, UsageError } from "../errors.js";
import { neededBase, type SamMetadata } from "../finetune/sam-metadata.js";
import { hashFiles } from "../io/hash-files.js";

/**
 * Path of the SAM that a fine-tuned SAM's file belongs to; null when the file has all weights itself.
 *
 * @param checkpoint where that SAM should be
 * @throws UsageError when one is needed and none was named; DataError when another one was
 */
export async function baseOf(
  path: string,
  metadata: SamMetadata,
  checkpoint: string | null,
  signal?: AbortSignal,
): Promise<string | null> {
  const needed = neededBase(metadata);
  if (needed === null) return null;
  const expected = `expected the SAM that the weights of ${path} belong to (SHA-256 ${needed})`;
  if (checkpoint === null)
    throw new UsageError(`--sam-checkpoint: ${expected}, received none; name that file`);
  const hash = await hashFiles([checkpoint], signal);
  if (hash === needed) return checkpoint;
  throw new DataError(`${checkpoint}: ${expected}, received ${hash}; name that file with --sam-checkpoint`);
}
