import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { resizeLinear } from "../data/resize-linear.js";
import { DataError } from "../errors.js";
import { decodePng, type Picture } from "../io/png.js";

/** The PNG files of a folder, by name. Throws DataError when it cannot be read or has none. */
export function naturalImageFiles(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    const received = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new DataError(
      `${folder}: expected a folder of natural images, received ${received}; correct the path`,
      {
        cause: error,
      },
    );
  }
  const files = names.filter((name) => /\.png$/i.test(name)).sort();
  if (files.length > 0) return files.map((name) => join(folder, name));
  throw new DataError(`${folder}: expected PNG files, received none; convert the images to PNG`);
}

/** Natural images as slices: gray, resized to the extents of a slice, mean 0 and standard deviation 1. */
export class NaturalImages {
  private readonly files: readonly string[];
  private readonly slices = new Map<number, Promise<Float32Array>>();

  /** @param extents rows and columns of a slice */
  constructor(
    folder: string,
    private readonly extents: readonly [number, number],
  ) {
    this.files = naturalImageFiles(folder);
  }

  get count(): number {
    return this.files.length;
  }

  /** Image `index` [y][x]; read once. Throws DataError when the file is no PNG that can be read. */
  slice(index: number): Promise<Float32Array> {
    const known = this.slices.get(index);
    if (known !== undefined) return known;
    const path = this.files[index] ?? "";
    const read = readFile(path).then((bytes) => asSlice(decodePng(bytes, path), this.extents));
    this.slices.set(index, read);
    return read;
  }
}

function asSlice(picture: Picture, [rows, columns]: readonly [number, number]): Float32Array {
  const { width, height } = picture;
  const tall = resizeLinear(grayOf(picture), 1, height, rows, width);
  const slice = resizeLinear(tall, rows, width, columns, 1);
  const mean = slice.reduce((sum, value) => sum + value, 0) / slice.length;
  const variance = slice.reduce((sum, value) => sum + (value - mean) ** 2, 0) / slice.length;
  return slice.map((value) => (variance === 0 ? 0 : (value - mean) / Math.sqrt(variance)));
}

/** Luma of ITU-R BT.601. */
function grayOf({ pixels, channels }: Picture): Float32Array {
  if (channels === 1) return Float32Array.from(pixels);
  return Float32Array.from(
    { length: pixels.length / 3 },
    (_, i) =>
      0.299 * (pixels[3 * i] ?? 0) + 0.587 * (pixels[3 * i + 1] ?? 0) + 0.114 * (pixels[3 * i + 2] ?? 0),
  );
}
