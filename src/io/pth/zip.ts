import { crc32 } from "node:zlib";
import { type Entry, openPromise, type ZipFile } from "yauzl";
import { DataError } from "../../errors.js";

/** The stored entries of a zip file, by name without the archive's own top folder. */
export interface ZipArchive {
  readonly path: string;
  /** Size of the whole file in bytes. */
  readonly fileSize: number;
  readonly names: readonly string[];
  /** Size of an entry in bytes, or undefined when there is none. */
  size(name: string): number | undefined;
  /**
   * Reads one entry into memory of its own.
   *
   * @throws DataError when there is no such entry, or its checksum is wrong
   */
  read(name: string): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Opens the zip container of a PyTorch checkpoint for the time of `body`. Only uncompressed entries are accepted,
 * as torch.save writes them: so no entry can be larger than the file.
 *
 * @throws DataError when the file is no zip, or an entry is compressed, encrypted, named twice, or lies outside
 */
export async function withZip<T>(path: string, body: (archive: ZipArchive) => Promise<T>): Promise<T> {
  const zip = await openPromise(path, { lazyEntries: true, autoClose: false }).catch((error: unknown) => {
    throw zipError(path, error);
  });
  try {
    const entries = await listEntries(path, zip);
    return await body({
      path,
      fileSize: zip.fileSize,
      names: [...entries.keys()],
      size: (name) => entries.get(name)?.uncompressedSize,
      read: (name) => readEntry(path, zip, entries, name),
    });
  } finally {
    zip.close();
  }
}

async function listEntries(path: string, zip: ZipFile): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  try {
    for await (const entry of zip.eachEntry()) {
      // torch.save puts everything into one folder named after the file.
      const name = entry.fileName.slice(entry.fileName.indexOf("/") + 1);
      if (entry.compressionMethod !== 0 || entry.isEncrypted()) {
        throw refusal(
          path,
          `uncompressed entries`,
          `compression method ${entry.compressionMethod} for ${name}`,
        );
      }
      if (entries.has(name)) {
        throw refusal(path, "each entry once", `${name} twice`);
      }
      if (entry.uncompressedSize > zip.fileSize) {
        throw refusal(path, "entries smaller than the file", `${entry.uncompressedSize} bytes for ${name}`);
      }
      entries.set(name, entry);
    }
  } catch (error) {
    throw zipError(path, error);
  }
  return entries;
}

async function readEntry(
  path: string,
  zip: ZipFile,
  entries: ReadonlyMap<string, Entry>,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const entry = entries.get(name);
  if (entry === undefined) {
    throw refusal(path, `an entry ${name}`, "none");
  }
  const bytes = new Uint8Array(entry.uncompressedSize);
  let done = 0;
  let checksum = 0;
  try {
    for await (const piece of await zip.openReadStreamPromise(entry)) {
      const part = piece as Uint8Array;
      bytes.set(part, done);
      done += part.byteLength;
      checksum = crc32(part, checksum);
    }
  } catch (error) {
    throw zipError(path, error);
  }
  if (checksum !== entry.crc32) {
    throw refusal(path, `the checksum ${entry.crc32} for ${name}`, `${checksum}`);
  }
  return bytes;
}

function refusal(path: string, expected: string, received: string): DataError {
  return new DataError(
    `pth: expected ${expected} in ${path}, received ${received}; the file is damaged or not as torch.save writes it`,
  );
}

function zipError(path: string, error: unknown): DataError {
  if (error instanceof DataError) {
    return error;
  }
  const message = error instanceof Error ? error.message : String(error);
  return new DataError(
    `pth: expected a whole zip file for ${path}, received "${message}"; get the file again`,
    {
      cause: error,
    },
  );
}
