import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../errors.js";

/** How an event file is begun. */
export interface EventWriterOptions {
  /** First step that will be written anew; TensorBoard then drops what older files of the folder say from it on. */
  readonly resumeAt?: number;
  /** Seconds since 1970, for the file name and the events. */
  readonly now?: () => number;
}

/**
 * Writes scalars for TensorBoard. A writer never touches an older file: after a kill the curves go on in a new one,
 * and a record that was cut off is skipped by the reader.
 *
 * Equals tensorboard.summary.writer.event_file_writer in what its reader sees: records framed by length and masked
 * CRC-32C, messages Event and Summary of tensorboard/compat/proto.
 */
export class EventWriter {
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  private descriptor: number | undefined;

  private constructor(
    readonly path: string,
    descriptor: number,
    private readonly now: () => number,
  ) {
    this.descriptor = descriptor;
  }

  /**
   * Begins a new event file in `folder`, which is made when missing.
   *
   * @throws DataError when the folder cannot be written
   */
  static open(folder: string, options: EventWriterOptions = {}): EventWriter {
    const now = options.now ?? (() => Date.now() / 1000);
    // TensorBoard reads a folder's files in the order of their names: seconds first, then a counter.
    const stem = `events.out.tfevents.${Math.floor(now()).toString().padStart(10, "0")}.sfr`;
    try {
      mkdirSync(folder, { recursive: true });
    } catch (error) {
      throw writeError(folder, error);
    }
    for (let counter = 0; ; counter += 1) {
      const path = join(folder, `${stem}.${counter.toString().padStart(4, "0")}`);
      let descriptor: number;
      try {
        descriptor = openSync(path, "wx");
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "EEXIST") {
          continue;
        }
        throw writeError(path, error);
      }
      const writer = new EventWriter(path, descriptor, now);
      writer.append(event(now(), undefined, text(3, "brain.Event:2")));
      if (options.resumeAt !== undefined) {
        const sessionStart = Buffer.from([0x08, 0x01]);
        writer.append(event(now(), options.resumeAt, message(7, sessionStart)));
      }
      writer.flush();
      return writer;
    }
  }

  /** Adds one point of the curve `tag`. It reaches the file with the next flush, or after 64 kB. */
  scalar(tag: string, value: number, step: number): void {
    const float = Buffer.alloc(5);
    float[0] = (2 << 3) | 5;
    float.writeFloatLE(value, 1);
    const entry = Buffer.concat([text(1, tag), float]);
    this.append(event(this.now(), step, message(5, message(1, entry))));
    if (this.pendingBytes > 65536) {
      this.flush();
    }
  }

  /**
   * Hands all points to the operating system.
   *
   * @throws DataError when the disk is full
   */
  flush(): void {
    const bytes = Buffer.concat(this.pending);
    this.pending = [];
    this.pendingBytes = 0;
    try {
      for (let done = 0; this.descriptor !== undefined && done < bytes.length; ) {
        done += writeSync(this.descriptor, bytes, done);
      }
    } catch (error) {
      throw writeError(this.path, error);
    }
  }

  /** Flushes and closes the file; a second call does nothing. */
  close(): void {
    if (this.descriptor !== undefined) {
      try {
        this.flush();
      } finally {
        closeSync(this.descriptor);
        this.descriptor = undefined;
      }
    }
  }

  private append(data: Buffer): void {
    const head = Buffer.alloc(12);
    head.writeBigUInt64LE(BigInt(data.length), 0);
    head.writeUInt32LE(maskedCrc32c(head.subarray(0, 8)), 8);
    const foot = Buffer.alloc(4);
    foot.writeUInt32LE(maskedCrc32c(data), 0);
    this.pending.push(head, data, foot);
    this.pendingBytes += data.length + 16;
  }
}

/** Message Event: wall_time (field 1, double), step (field 2, int64), then one field with the content. */
function event(wallTime: number, step: number | undefined, content: Buffer): Buffer {
  const time = Buffer.alloc(9);
  time[0] = (1 << 3) | 1;
  time.writeDoubleLE(wallTime, 1);
  const stepField = step === undefined ? Buffer.alloc(0) : Buffer.from([2 << 3, ...varint(step)]);
  return Buffer.concat([time, stepField, content]);
}

function text(field: number, value: string): Buffer {
  return message(field, Buffer.from(value, "utf8"));
}

function message(field: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(content.length)]), content]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
  }
  bytes.push(Number(rest));
  return bytes;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) {
    value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  }
  return value;
});

/** CRC-32 with Castagnoli's polynomial (RFC 3720, appendix B.4). */
export function crc32c(data: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of data) {
    value = (crcTable[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  }
  return (value ^ 0xffffffff) >>> 0;
}

/** TFRecord's mask: rotated right by 15 bits plus a constant, so that a record may hold records. */
function maskedCrc32c(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function writeError(path: string, error: unknown): DataError {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  return new DataError(
    `events: expected to write ${path}, received ${code}; check free space and the folder's permissions`,
    { cause: error },
  );
}
