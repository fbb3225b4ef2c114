import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from "yauzl";
import { DataError } from "../../errors.js";
import { type OpenFile, openFile, readFully } from "../read-file.js";

/** Most entries that are listed; the archive of a SAM ViT-H has about 700. */
const maxEntries = 65_535;
/** A local header without name and extra field, in bytes, and its first word. */
const localHeaderBytes = 30;
const localHeaderSignature = 0x04034b50;

/** What of an entry is needed to read it. */
type StoredEntry = Pick<Entry, "uncompressedSize" | "relativeOffsetOfLocalHeader" | "crc32">;

/**
 * The zip container of a PyTorch checkpoint, by entry names without the archive's own top folder. Entries are ranges of
 * the file: only uncompressed ones are accepted, as torch.save writes them, and together they are no larger than the
 * file, so that nothing in it can unpack to more than it weighs.
 */
export class ZipArchive implements AsyncDisposable {
  private constructor(
    readonly path: string,
    private readonly file: OpenFile,
    private readonly entries: ReadonlyMap<string, StoredEntry>,
  ) {}

  /**
   * Reads the archive's directory.
   *
   * @throws DataError when the file is no zip, or an entry is compressed, encrypted, named twice, or overlaps others
   */
  static async open(path: string): Promise<ZipArchive> {
    const file = await openFile("pth", path);
    try {
      const reader = new HandleReader(file);
      const zip = await fromRandomAccessReaderPromise(reader, file.size, { autoClose: false });
      return new ZipArchive(path, file, await listEntries(path, zip));
    } catch (error) {
      await file.handle.close();
      throw zipError(path, error);
    }
  }

  /** Size of the whole file in bytes. */
  get fileSize(): number {
    return this.file.size;
  }

  /** Size of an entry in bytes, or undefined when there is none. */
  size(name: string): number | undefined {
    return this.entries.get(name)?.uncompressedSize;
  }

  /**
   * Reads one entry from its range of the file into memory of its own.
   *
   * @throws DataError when there is no such entry, it lies outside the file, or its checksum is wrong
   */
  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.entries.get(name);
    if (entry === undefined) throw refusal(this.path, `an entry ${name}`, "none");
    const start = await this.dataStart(name, entry);
    const bytes = new Uint8Array(entry.uncompressedSize);
    await readFully("pth", this.path, this.file.handle, bytes, start);
    const checksum = crc32(bytes);
    if (checksum !== entry.crc32)
      throw refusal(this.path, `the checksum ${entry.crc32} for ${name}`, `${checksum}`);
    return bytes;
  }

  /** Name and extra field of the local header may be longer than the directory's; only here their length is known. */
  private async dataStart(name: string, entry: StoredEntry): Promise<number> {
    const { handle, size } = this.file;
    const offset = entry.relativeOffsetOfLocalHeader;
    if (offset + localHeaderBytes > size)
      throw refusal(this.path, `${name} within ${size} bytes`, `offset ${offset}`);
    const bytes = new Uint8Array(localHeaderBytes);
    await readFully("pth", this.path, handle, bytes, offset);
    const header = new DataView(bytes.buffer);
    if (header.getUint32(0, true) !== localHeaderSignature)
      throw refusal(this.path, `a local header for ${name}`, "other bytes");
    const start = offset + localHeaderBytes + header.getUint16(26, true) + header.getUint16(28, true);
    if (start + entry.uncompressedSize > size)
      throw refusal(this.path, `${name} within ${size} bytes`, `${entry.uncompressedSize} from ${start} on`);
    return start;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.handle.close();
  }
}

/** Lets the zip library read ranges of an open file; a range outside is an error to it, never a call of the system. */
class HandleReader extends RandomAccessReader {
  private readonly handle: FileHandle;
  private readonly size: number;

  constructor({ handle, size }: OpenFile) {
    super();
    this.handle = handle;
    this.size = size;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    if (!(position >= 0 && position + length <= this.size)) {
      callback(new Error(`${length} bytes at ${position} of a file of ${this.size}`));
      return;
    }
    this.handle.read(buffer, offset, length, position).then(
      ({ bytesRead }) => callback(null, bytesRead),
      (error: Error) => callback(error),
    );
  }
}

async function listEntries(path: string, zip: ZipFile): Promise<Map<string, StoredEntry>> {
  if (zip.entryCount > maxEntries) throw refusal(path, `at most ${maxEntries} entries`, `${zip.entryCount}`);
  const entries = new Map<string, StoredEntry>();
  let total = 0;
  for await (const entry of zip.eachEntry()) {
    // torch.save puts everything into one folder named after the file.
    const name = entry.fileName.slice(entry.fileName.indexOf("/") + 1);
    if (entry.compressionMethod !== 0 || entry.isEncrypted()) {
      throw new DataError(
        `pth: expected uncompressed entries in ${path}, received compression method ${entry.compressionMethod} for ` +
          `${name}, as in a TorchScript program; save the weights with torch.save(model.state_dict(), path)`,
      );
    }
    if (entries.has(name)) throw refusal(path, "each entry once", `${name} twice`);
    total += entry.uncompressedSize;
    if (!(total <= zip.fileSize))
      throw refusal(path, "entries smaller than the file", `${total} bytes up to ${name}`);
    const { uncompressedSize, relativeOffsetOfLocalHeader } = entry;
    entries.set(name, { uncompressedSize, relativeOffsetOfLocalHeader, crc32: entry.crc32 });
  }
  return entries;
}

function refusal(path: string, expected: string, received: string): DataError {
  return new DataError(
    `pth: expected ${expected} in ${path}, received ${received}; the file is damaged or not as torch.save writes it`,
  );
}

function zipError(path: string, error: unknown): DataError {
  if (error instanceof DataError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new DataError(
    `pth: expected a whole zip file for ${path}, received "${message}"; get the file again`,
    {
      cause: error,
    },
  );
}
