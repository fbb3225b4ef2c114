import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { createGunzip, createUnzip } from "node:zlib";
import { DataError } from "../../errors.js";
import type { Frame, VoxelHeader, VoxelSource } from "./format.js";

/** Bytes per piece of a stream. */
const PIECE = 1 << 18;
/** Deflate packs at most 1032 bytes into one; a header that promises more than this factor lies. */
export const MAX_DEFLATE_RATIO = 1040;

/** A file that is read once from front to back, unpacked on the way, in pieces that do not grow with it. */
export class ByteStream implements AsyncDisposable {
  #source: Readable;
  #pieces: AsyncIterator<Buffer>;
  /** Bytes that were read from the source and not yet taken. */
  #pending: Buffer = Buffer.alloc(0);
  #taken = 0;

  private constructor(
    readonly path: string,
    source: Readable,
    /** The stream cannot hold more bytes than this. */
    readonly maxBytes: number,
    /** Where the bytes come from: this place of a file as it stands, or a stream that is unpacked on the way. */
    private readonly from: { readonly start: number } | { readonly packed?: ByteStream },
  ) {
    this.#source = source;
    this.#pieces = piecesOf(source);
  }

  /**
   * Opens a file that begins with a header. Gzip is told by the first bytes, not by the name; several members in a row
   * are one file.
   *
   * @throws DataError when there is no readable file
   */
  static async open(path: string): Promise<ByteStream> {
    const { isGzip, bytes } = await lookAt(path);
    const file = createReadStream(path, { highWaterMark: PIECE });
    if (!isGzip) return new ByteStream(path, file, bytes, { start: 0 });
    const unpacker = createGunzip({ chunkSize: PIECE });
    return new ByteStream(path, through(file, unpacker), bytes * MAX_DEFLATE_RATIO, {});
  }

  /**
   * Opens a file of voxels without a header as it stands; its first bytes may be anything.
   *
   * @param from first byte to read; a negative number counts from the end
   * @throws DataError when there is no readable file
   */
  static async openData(path: string, from: number): Promise<ByteStream> {
    const { bytes } = await lookAt(path);
    const start = from < 0 ? Math.max(0, bytes + from) : from;
    const file = createReadStream(path, { highWaterMark: PIECE, start });
    return new ByteStream(path, file, Math.max(0, bytes - start), { start });
  }

  /** The next `count` bytes, fewer only at the end of the file. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = count;
    for (;;) {
      const part = this.#pending.subarray(0, missing);
      this.#pending = this.#pending.subarray(part.length);
      parts.push(part);
      missing -= part.length;
      if (missing === 0) break;
      const next = await this.#pieces.next();
      if (next.done) break;
      this.#pending = next.value;
    }
    this.#taken += count - missing;
    return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
  }

  /** Passes over bytes, without reading them where the file is not packed. */
  async skip(count: number): Promise<void> {
    if ("start" in this.from && count > this.#pending.length + PIECE) {
      this.#taken += count;
      this.#pending = Buffer.alloc(0);
      this.#source.destroy();
      const start = this.from.start + this.#taken;
      this.#source = createReadStream(this.path, { highWaterMark: PIECE, start });
      this.#pieces = piecesOf(this.#source);
      return;
    }
    for (let left = count; left > 0; ) {
      const { length } = await this.take(Math.min(left, PIECE));
      if (length === 0) return;
      left -= length;
    }
  }

  /** The bytes up to the next line feed as Latin-1, without it and a carriage return before it; null at the end. */
  async line(maxBytes: number): Promise<string | null> {
    const parts: Buffer[] = [];
    let size = 0;
    for (;;) {
      const end = this.#pending.indexOf(10);
      const part = this.#pending.subarray(0, end < 0 ? this.#pending.length : end + 1);
      this.#pending = this.#pending.subarray(part.length);
      parts.push(part);
      size += part.length;
      if (end >= 0 || size > maxBytes) break;
      const next = await this.#pieces.next();
      if (next.done) break;
      this.#pending = next.value;
    }
    this.#taken += size;
    return size === 0
      ? null
      : Buffer.concat(parts)
          .toString("latin1")
          .replace(/\r?\n$/, "");
  }

  /** What has not been taken yet cannot be more bytes than this. */
  get maxLeft(): number {
    return Math.max(0, this.maxBytes - this.#taken);
  }

  /** One of the volumes that are left, as the voxels of a file with this header; disposing of them closes the file. */
  async asSource(header: VoxelHeader, { shape, index, channels, count }: Frame): Promise<VoxelSource> {
    const bytes = shape.reduce((product, extent) => product * extent, header.type.bytes);
    await this.skip(index * bytes);
    return {
      header,
      maxBytes: this.maxLeft,
      voxels: index + channels === count ? this.rest() : this.first(bytes),
      [Symbol.asyncDispose]: () => this[Symbol.asyncDispose](),
    };
  }

  /** So many of the bytes that have not been taken. */
  private async *first(bytes: number): AsyncGenerator<Buffer> {
    let left = bytes;
    for await (const piece of this.rest()) {
      yield piece.subarray(0, left);
      left -= piece.length;
      if (left <= 0) return;
    }
  }

  /** All bytes that have not been taken. */
  async *rest(): AsyncGenerator<Buffer> {
    if (this.#pending.length > 0) {
      const pending = this.#pending;
      this.#pending = Buffer.alloc(0);
      yield pending;
    }
    for (;;) {
      const next = await this.#pieces.next();
      if (next.done) return;
      yield next.value;
    }
  }

  /** What follows, unpacked: gzip or zlib, told by its first bytes. This stream must not be read any more. */
  unpacked(): ByteStream {
    const packed = Readable.from(this.rest());
    return new ByteStream(
      this.path,
      through(packed, createUnzip({ chunkSize: PIECE })),
      this.maxLeft * MAX_DEFLATE_RATIO,
      { packed: this },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#source.destroy();
    await this.#pieces.return?.();
    if ("packed" in this.from) await this.from.packed?.[Symbol.asyncDispose]();
  }
}

/** Whoever takes the bytes gets the error; without a listener one before that would end the process. */
function piecesOf(source: Readable): AsyncIterator<Buffer> {
  source.on("error", () => undefined);
  return source[Symbol.asyncIterator]();
}

/** Errors of either stream come out of the second; destroying the second destroys the first. */
function through(source: Readable, unpacker: NodeJS.ReadWriteStream & Readable): Readable {
  pipeline(source, unpacker, () => undefined);
  return unpacker;
}

async function lookAt(path: string): Promise<{ isGzip: boolean; bytes: number }> {
  await using file: FileHandle = await open(path, "r");
  const stats = await file.stat();
  if (!stats.isFile()) {
    const found = stats.isDirectory() ? "a folder" : "something that is no file";
    throw new DataError(`${path}: expected a volume, received ${found}; give the file itself`);
  }
  const { bytesRead, buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
  return { isGzip: bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b, bytes: stats.size };
}

const READ_CAUSES: Readonly<Record<string, string>> = {
  ENOENT: "nothing at this path; correct the path",
  ENOTDIR: "a path through something that is no folder; correct the path",
  EACCES: "no permission to read it; change its permissions",
  EPERM: "no permission to read it; change its permissions",
  Z_BUF_ERROR: "gzip data that end too early; copy the file again, it is cut short",
  Z_DATA_ERROR: "damaged gzip data; copy the file again",
};

/** Turns a system or unpacking error of a read into a DataError; other errors pass through. */
export function describeReadError(path: string, error: unknown): unknown {
  if (error instanceof DataError || !(error instanceof Error) || !("code" in error)) return error;
  const cause = READ_CAUSES[String(error.code)];
  if (cause === undefined && !("syscall" in error) && !String(error.code).startsWith("Z_")) return error;
  return new DataError(`${path}: expected a readable volume, received ${cause ?? error.message}`, {
    cause: error,
  });
}
