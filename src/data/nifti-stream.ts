import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { DataError } from "../errors.js";
import { HEADER_BYTES, type NiftiHeader, parseNiftiHeader } from "./nifti-header.js";
import { formatShape, voxelCount } from "./volume.js";

/** Bytes per piece of a stream. */
const PIECE = 1 << 18;
/** Deflate packs at most 1032 bytes into one; a header that promises more than this factor lies. */
const MAX_GZIP_RATIO = 1040;

/** Takes `count` voxel values, scaled, that stand at memory position `start` and after. */
export type VoxelSink = (values: Float64Array, count: number, start: number) => void;

/**
 * Reads a .nii or .nii.gz file piece by piece (gzip is told by its first bytes, not by the name;
 * several gzip members in a row are one file). Beyond what the sink keeps, memory is about 3 MB.
 *
 * @param makeSink called once, when the header is known and the file is long enough for it
 * @throws DataError when the file cannot be read, is no usable NIfTI-1 file, or is cut short
 */
export async function streamNifti(
  path: string,
  makeSink: (header: NiftiHeader) => VoxelSink,
): Promise<NiftiHeader> {
  let refusal: unknown;
  try {
    const { gzip, bytes } = await inspectFile(path);
    const limit = gzip ? bytes * MAX_GZIP_RATIO : bytes;
    const decoder = new VoxelDecoder(path, limit, makeSink);
    const source = createReadStream(path, { highWaterMark: PIECE });
    const consume = async (pieces: AsyncIterable<Buffer>): Promise<void> => {
      try {
        for await (const piece of pieces) decoder.push(piece);
      } catch (error) {
        refusal = error;
        throw error;
      }
    };
    if (gzip) await pipeline(source, createGunzip({ chunkSize: PIECE }), consume);
    else await pipeline(source, consume);
    return decoder.finish();
  } catch (error) {
    // When the decoder refuses, pipeline may report that it stopped the streams instead of why.
    throw describeReadError(path, refusal ?? error);
  }
}

async function inspectFile(path: string): Promise<{ gzip: boolean; bytes: number }> {
  await using file: FileHandle = await open(path, "r");
  const stats = await file.stat();
  if (!stats.isFile()) {
    const found = stats.isDirectory() ? "a folder" : "something that is no file";
    throw new DataError(`${path}: expected a .nii or .nii.gz file, received ${found}; give the file itself`);
  }
  const { bytesRead, buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
  return { gzip: bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b, bytes: stats.size };
}

const READ_CAUSES: Readonly<Record<string, string>> = {
  ENOENT: "nothing at this path; correct the path",
  ENOTDIR: "a path through something that is no folder; correct the path",
  EACCES: "no permission to read it; change its permissions",
  EPERM: "no permission to read it; change its permissions",
  Z_BUF_ERROR: "gzip data that end too early; copy the file again, it is cut short",
  Z_DATA_ERROR: "damaged gzip data; copy the file again",
};

function describeReadError(path: string, error: unknown): unknown {
  if (error instanceof DataError || !(error instanceof Error) || !("code" in error)) return error;
  const cause = READ_CAUSES[String(error.code)] ?? error.message;
  return new DataError(`${path}: expected a readable .nii or .nii.gz file, received ${cause}`, {
    cause: error,
  });
}

/** Takes the bytes of an unpacked file in pieces of any size: header, gap, voxels. */
class VoxelDecoder {
  #header: NiftiHeader | undefined;
  #sink: VoxelSink | undefined;
  /** Bytes that wait for more: the start of the header, or a part of a voxel. */
  #pending: Buffer = Buffer.alloc(0);
  #gap = 0;
  #done = 0;
  #values = new Float64Array(0);

  constructor(
    readonly path: string,
    /** The unpacked file cannot be longer than this, in bytes. */
    readonly maxBytes: number,
    readonly makeSink: (header: NiftiHeader) => VoxelSink,
  ) {}

  push(piece: Buffer): void {
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, piece]) : piece;
    this.#pending = Buffer.alloc(0);
    if (!this.#header) {
      if (bytes.length < HEADER_BYTES) {
        this.#pending = bytes;
        return;
      }
      this.#start(parseNiftiHeader(bytes, this.path));
    }
    const skipped = Math.min(this.#gap, bytes.length);
    this.#gap -= skipped;
    this.#decode(bytes.subarray(skipped));
  }

  finish(): NiftiHeader {
    // Too short for a header: parsing it gives the message.
    const header = this.#header ?? parseNiftiHeader(this.#pending, this.path);
    const total = voxelCount(header.shape);
    if (this.#done !== total) this.#refuseSize(header, `only ${this.#done}`);
    return header;
  }

  #start(header: NiftiHeader): void {
    const needed = header.voxelOffset + voxelCount(header.shape) * header.dtype.bytes;
    // Checked before the voxels get memory: a damaged header can promise terabytes.
    if (needed > this.maxBytes) this.#refuseSize(header, "fewer");
    this.#header = header;
    this.#gap = header.voxelOffset;
    this.#sink = this.makeSink(header);
  }

  #decode(bytes: Buffer): void {
    const header = this.#header;
    if (!header || bytes.length === 0) return;
    const { dtype, slope, intercept } = header;
    const count = Math.floor(bytes.length / dtype.bytes);
    if (this.#done + count > voxelCount(header.shape)) this.#refuseSize(header, "more");
    if (this.#values.length < count) this.#values = new Float64Array(count);
    const values = this.#values;
    const view = new DataView(bytes.buffer, bytes.byteOffset, count * dtype.bytes);
    dtype.decode(view, count, header.grid.littleEndian, values);
    if (slope !== 1 || intercept !== 0) {
      for (let i = 0; i < count; i++) values[i] = (values[i] ?? 0) * slope + intercept;
    }
    this.#sink?.(values, count, this.#done);
    this.#done += count;
    this.#pending = bytes.subarray(count * dtype.bytes);
  }

  #refuseSize(header: NiftiHeader, received: string): never {
    throw new DataError(
      `${this.path}: expected ${voxelCount(header.shape)} voxels as the header says ` +
        `(${formatShape(header.shape)}, ${header.dtype.name}), received ${received}; ` +
        "the header is wrong or the file is cut short, copy or convert it again",
    );
  }
}
