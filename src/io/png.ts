import { crc32, deflateSync, inflateSync } from "node:zlib";
import { DataError } from "../errors.js";

/** An 8-bit picture: rows from the top, channels last (1 = gray, 3 = red, green, blue). */
export interface Picture {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
}

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Largest picture that is decoded, in pixels: the canvas of a volume of 512 slices of 512 x 512. */
const maxPixels = 2 ** 27;

/**
 * Encodes an 8-bit gray or RGB picture as PNG. Each row takes the filter with the smallest sum of absolute
 * differences; equal pixels give equal bytes.
 *
 * @param pixels [height][width][channels]
 * @throws DataError when the number of pixels does not fit
 */
export function encodePng(pixels: Uint8Array, width: number, height: number, channels: 1 | 3): Buffer {
  const stride = width * channels;
  if (pixels.length !== stride * height || pixels.length === 0) {
    throw new DataError(
      `encodePng: expected ${width} x ${height} x ${channels} values for pixels, received ${pixels.length}; ` +
        "pass the size of the picture",
    );
  }
  const rows = new Uint8Array((stride + 1) * height);
  const row = () => new Uint8Array(stride);
  const candidates = [row(), row(), row(), row(), row()] as const;
  for (let y = 0; y < height; y += 1) {
    const costs = filterRow(pixels, y * stride, channels, candidates);
    const best = costs.indexOf(Math.min(...costs));
    rows[y * (stride + 1)] = best;
    rows.set(candidates[best] ?? [], y * (stride + 1) + 1);
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  head[9] = channels === 1 ? 0 : 2;
  return Buffer.concat([
    signature,
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(rows, { level: 6 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/**
 * Decodes an 8-bit gray or RGB PNG that is not interlaced.
 *
 * @param name of the file, for errors
 * @throws DataError when the bytes are no such PNG, are damaged or cut off, or hold more than 2^27 pixels
 */
export function decodePng(bytes: Uint8Array, name = "the picture"): Picture {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!source.subarray(0, 8).equals(signature)) {
    throw bad(name, "the PNG signature", "other bytes");
  }
  let head: Omit<Picture, "pixels"> | undefined;
  const parts: Buffer[] = [];
  for (const [type, content] of chunks(source, name)) {
    if (type === "IHDR") {
      head = parseHead(content, name);
    } else if (type === "IDAT") {
      parts.push(content);
    } else if (type !== "PLTE" && type !== "IEND" && (type.charCodeAt(0) & 0x20) === 0) {
      throw bad(name, "known chunks", type);
    }
  }
  if (head === undefined) {
    throw bad(name, "an IHDR chunk", "none");
  }
  const { width, height, channels } = head;
  const stride = width * channels;
  const rows = inflate(Buffer.concat(parts), (stride + 1) * height, name);
  const pixels = new Uint8Array(stride * height);
  for (let y = 0; y < height; y += 1) {
    const filter = rows[y * (stride + 1)] ?? 0;
    if (filter > 4) {
      throw bad(name, "row filters 0 to 4", `${filter}`);
    }
    unfilterRow(filter, rows, y * (stride + 1) + 1, pixels, y * stride, stride, channels);
  }
  return { pixels, width, height, channels };
}

/** A picture as its file has it. */
export interface PngFile {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** A PNG that goes into a page as it is. @throws DataError as decodePng, of its head */
export function pngFile(png: Uint8Array, name: string): PngFile {
  const source = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  const [[type, content] = ["", source]] = chunks(source, name);
  if (!source.subarray(0, 8).equals(signature) || type !== "IHDR")
    throw bad(name, "the PNG signature", "other bytes");
  const { width, height } = parseHead(content, name);
  return { png, width, height };
}

function chunk(type: string, content: Buffer): Buffer {
  const result = Buffer.alloc(12 + content.length);
  result.writeUInt32BE(content.length, 0);
  result.write(type, 4, "latin1");
  content.copy(result, 8);
  result.writeUInt32BE(crc32(result.subarray(4, 8 + content.length)), 8 + content.length);
  return result;
}

function* chunks(source: Buffer, name: string): Iterable<[string, Buffer]> {
  let position = 8;
  for (let type = ""; type !== "IEND"; ) {
    if (position + 12 > source.length) {
      throw bad(name, "chunks up to IEND", "the end of the file");
    }
    const length = source.readUInt32BE(position);
    if (length > source.length - position - 12) {
      throw bad(name, `${length} bytes in a chunk`, `${source.length - position - 12}`);
    }
    type = source.toString("latin1", position + 4, position + 8);
    if (
      crc32(source.subarray(position + 4, position + 8 + length)) !==
      source.readUInt32BE(position + 8 + length)
    ) {
      throw bad(name, `the checksum of chunk ${type}`, "another one");
    }
    yield [type, source.subarray(position + 8, position + 8 + length)];
    position += 12 + length;
  }
}

function parseHead(content: Buffer, name: string): Omit<Picture, "pixels"> {
  if (content.length !== 13) {
    throw bad(name, "13 bytes of IHDR", `${content.length}`);
  }
  const width = content.readUInt32BE(0);
  const height = content.readUInt32BE(4);
  const [depth = 0, color = 0, , , interlace = 0] = content.subarray(8);
  if (depth !== 8 || (color !== 0 && color !== 2)) {
    throw unsupported(name, "8 bits per channel, gray or RGB", `${depth} bits, colour type ${color}`);
  }
  if (interlace !== 0) {
    throw unsupported(name, "no interlacing", `interlace method ${interlace}`);
  }
  if (width === 0 || height === 0 || width * height > maxPixels) {
    throw bad(name, `1 to ${maxPixels} pixels`, `${width} x ${height}`);
  }
  return { width, height, channels: color === 0 ? 1 : 3 };
}

function inflate(data: Buffer, size: number, name: string): Buffer {
  let rows: Buffer;
  try {
    rows = inflateSync(data, { maxOutputLength: size });
  } catch (error) {
    throw bad(name, `${size} bytes of compressed rows`, error instanceof Error ? error.message : "none");
  }
  if (rows.length !== size) {
    throw bad(name, `${size} bytes of rows`, `${rows.length}`);
  }
  return rows;
}

/**
 * Filters the row of `pixels` that starts at `start` in each of the five ways, in one pass; returns the sums of the
 * differences' absolute values.
 */
function filterRow(
  pixels: Uint8Array,
  start: number,
  channels: number,
  [none, left, up, mean, paeth]: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array],
): number[] {
  const stride = none.length;
  let [ofNone, ofLeft, ofUp, ofMean, ofPaeth] = [0, 0, 0, 0, 0];
  for (let i = 0; i < stride; i += 1) {
    const value = pixels[start + i] ?? 0;
    const a = i >= channels ? (pixels[start + i - channels] ?? 0) : 0;
    const b = pixels[start + i - stride] ?? 0;
    const c = i >= channels ? (pixels[start + i - stride - channels] ?? 0) : 0;
    const [fromMean, fromPaeth] = [value - ((a + b) >> 1), value - paethOf(a, b, c)];
    none[i] = value;
    left[i] = value - a;
    up[i] = value - b;
    mean[i] = fromMean;
    paeth[i] = fromPaeth;
    ofNone += distance(value);
    ofLeft += distance(value - a);
    ofUp += distance(value - b);
    ofMean += distance(fromMean);
    ofPaeth += distance(fromPaeth);
  }
  return [ofNone, ofLeft, ofUp, ofMean, ofPaeth];
}

/** Absolute value of a difference as the byte that is kept of it, read with its sign. */
function distance(difference: number): number {
  return Math.abs((difference << 24) >> 24);
}

function unfilterRow(
  filter: number,
  rows: Uint8Array,
  source: number,
  pixels: Uint8Array,
  start: number,
  stride: number,
  channels: number,
): void {
  for (let i = 0; i < stride; i += 1) {
    const left = i >= channels ? (pixels[start + i - channels] ?? 0) : 0;
    const up = pixels[start - stride + i] ?? 0;
    const corner = i >= channels ? (pixels[start - stride + i - channels] ?? 0) : 0;
    pixels[start + i] = (rows[source + i] ?? 0) + predict(filter, left, up, corner);
  }
}

/** The five filters of PNG: none, left, up, their mean, and Paeth's choice among left, up and corner. */
function predict(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 1:
      return left;
    case 2:
      return up;
    case 3:
      return (left + up) >> 1;
    case 4:
      return paethOf(left, up, corner);
    default:
      return 0;
  }
}

function paethOf(left: number, up: number, corner: number): number {
  const byLeft = Math.abs(up - corner);
  const byUp = Math.abs(left - corner);
  const byCorner = Math.abs(left + up - 2 * corner);
  return byLeft <= byUp && byLeft <= byCorner ? left : byUp <= byCorner ? up : corner;
}

function bad(name: string, expected: string, received: string): DataError {
  return new DataError(
    `png: expected ${expected} in ${name}, received ${received}; the file is damaged, get it again`,
  );
}

function unsupported(name: string, expected: string, received: string): DataError {
  return new DataError(
    `png: expected ${expected} in ${name}, received ${received}; save it as plain 8-bit PNG without alpha`,
  );
}
