import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { CancelledError, DataError } from "../errors.js";

/**
 * SHA-256 of the bytes of files one after another, 64 hexadecimal digits.
 *
 * @throws DataError naming the file that cannot be read
 */
export async function hashFiles(paths: readonly string[], signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for (const path of new Set(paths)) {
    try {
      await pipeline(
        createReadStream(path),
        async (chunks: AsyncIterable<Buffer>) => {
          for await (const chunk of chunks) hash.update(chunk);
        },
        signal === undefined ? {} : { signal },
      );
    } catch (error) {
      if (signal?.aborted) throw new CancelledError(`${path}: stopped on request while it was read`);
      const received = error instanceof Error && "code" in error ? String(error.code) : String(error);
      throw new DataError(`${path}: expected a readable file, received ${received}; check the path`, {
        cause: error,
      });
    }
  }
  return hash.digest("hex");
}
