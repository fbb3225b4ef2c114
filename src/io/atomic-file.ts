import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DataError } from "../errors.js";

/** Bytes of a file: all at once, or piece by piece. */
export type FileContent = Uint8Array | string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: "no space left on the disk; free some or choose another folder",
  EDQUOT: "the disk quota is used up; free some space or choose another folder",
  EFBIG: "a file larger than this system allows; choose another folder or raise the limit",
  EACCES: "no permission; choose a folder that you may write to",
  EPERM: "no permission; choose a folder that you may write to",
  EROFS: "a read-only disk; choose a folder that you may write to",
  ENOENT: "a folder that does not exist; create it first",
  ENOTDIR: "a file where a folder was expected; choose another path",
  EISDIR: "a folder at this path; choose another name",
  ENOTEMPTY: "a folder at this path; choose another name",
};

/**
 * Writes a file so that readers see the old content or the new one, never a part: the bytes go to
 * `.<name>.tmp` in the same folder, are forced to the disk and then take the name. On any failure
 * the temporary file is removed and an older file at `path` stays as it was.
 * One process at a time may write the same path.
 *
 * @throws DataError naming the path when the disk is full or the place cannot be written. Errors that
 *   the content's own iterator throws come through unchanged.
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.tmp`);
  try {
    // A left-over of a killed run goes first: "wx" then refuses to follow a link laid at this name.
    await rm(temporary, { force: true });
    await using file = await open(temporary, "wx");
    await writeContent(file, content);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw describeWriteError(path, error);
  }
  try {
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw describeWriteError(path, error);
  }
}

async function writeContent(file: FileHandle, content: FileContent): Promise<void> {
  if (typeof content === "string" || content instanceof Uint8Array) {
    await file.writeFile(content);
    return;
  }
  // writeFile on an open handle goes on at the current position and loops over short writes.
  for await (const piece of content) await file.writeFile(piece);
}

/** The rename itself is durable only when the folder is on the disk as well. */
async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}

/** Turns a system error of a write into a DataError; other errors pass through. */
function describeWriteError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return error;
  const cause = CAUSES[String(error.code)] ?? error.message;
  return new DataError(`write: expected to write '${path}', received ${cause}`, { cause: error });
}
