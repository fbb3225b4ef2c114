import { type FileHandle, open } from "node:fs/promises";
import { DataError } from "../errors.js";

/** An open regular file and its size in bytes. */
export interface OpenFile {
  readonly handle: FileHandle;
  readonly size: number;
}

/**
 * Opens a file for reading; the caller closes the handle.
 *
 * @param where the reader's name, first word of the error
 * @throws DataError when the path cannot be opened or is no regular file
 */
export async function openFile(where: string, path: string): Promise<OpenFile> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new DataError(`${where}: expected a readable file for ${path}, received ${code}; check the path`, {
      cause: error,
    });
  }
  const stat = await handle.stat();
  if (stat.isFile()) return { handle, size: stat.size };
  await handle.close();
  throw new DataError(`${where}: expected a file for ${path}, received something else; name the file itself`);
}

/**
 * Opens a file, runs `body` with the handle and its size in bytes, and closes it again.
 *
 * @throws DataError as openFile
 */
export async function withFile<T>(
  where: string,
  path: string,
  body: (handle: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  const { handle, size } = await openFile(where, path);
  try {
    return await body(handle, size);
  } finally {
    await handle.close();
  }
}

/**
 * Fills `target` with the bytes from `position` on.
 *
 * @throws DataError when the file ends before, or the disk fails
 */
export async function readFully(
  where: string,
  path: string,
  handle: FileHandle,
  target: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0;
  while (done < target.byteLength) {
    const length = Math.min(target.byteLength - done, 1 << 30);
    const { bytesRead } = await handle.read(target, done, length, position + done).catch((error: unknown) => {
      throw new DataError(`${where}: expected to read ${path}, received ${String(error)}; check the disk`, {
        cause: error,
      });
    });
    if (bytesRead === 0) {
      throw new DataError(
        `${where}: expected ${target.byteLength} bytes at byte ${position} of ${path}, received ${done}; ` +
          "the file is cut off, copy it again",
      );
    }
    done += bytesRead;
  }
}
