import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describeReadError } from "../data/formats/byte-stream.js";
import type { VoxelHeader } from "../data/formats/format.js";
import { LPS, placeAxes } from "../data/formats/text-header.js";
import { voxelTypes } from "../data/formats/voxel-type.js";
import { Placement } from "../data/orientation.js";
import type { ImageVolume } from "../data/volume.js";
import { gridInMemory } from "../data/volume-file.js";
import { DataError } from "../errors.js";
import { pixelBytes, type SliceFile } from "./slice-file.js";
import type { SliceReader } from "./slice-reader.js";
import { type Slice, type SliceStack, stackSlices } from "./slices.js";

/** A slice with what reading its pixels and referring to it needs. */
interface SeriesSlice extends Slice, Pick<SliceFile, "elements" | "pixelsAt"> {
  readonly path: string;
}

/** The slices of a volume in order, their pixels not kept. */
export interface Series extends Pick<SliceFile, "patient"> {
  readonly folder: string;
  readonly stack: SliceStack<SeriesSlice>;
  /** Where the volume lies; file axes run along rows, from row to row, from slice to slice. */
  readonly header: VoxelHeader;
}

/**
 * Reads the headers of a DICOM series: a folder of files of one slice each; files that are no DICOM are passed over.
 *
 * @throws DataError when the slices make no volume (stackSlices) or a file cannot be read (SliceReader);
 *   UsageError when dcmjs is not installed
 */
export async function openSeries(folder: string, reader: SliceReader): Promise<Series> {
  const paths = await dicomFiles(folder);
  const slices: SeriesSlice[] = [];
  let patient: Series["patient"] = {};
  for (const path of paths) {
    const file = await reader.read(path);
    slices.push(placeSlice(path, file));
    patient = file.patient;
  }
  const stack = stackSlices(folder, slices);
  const [first] = stack.slices;
  const header: VoxelHeader = {
    format: "DICOM",
    shape: [first?.columns ?? 0, first?.rows ?? 0, stack.slices.length],
    ...placeAxes(folder, { columns: stack.columns, toRas: LPS }),
    fastest: "x",
    type: voxelTypes.float32,
    littleEndian: true,
    slope: 1,
    intercept: 0,
    source: null,
  };
  return { folder, stack, header, patient };
}

/**
 * Intensities of a series after each slice's slope and intercept; one copy of the voxels.
 *
 * @throws DataError when a file has changed since openSeries, or a value is no finite float32
 */
export async function readSeries({ stack, header }: Series): Promise<ImageVolume> {
  const [nx, ny, nz] = header.shape;
  const data = new Float32Array(nx * ny * nz);
  const placement = new Placement(header.shape, header.orientation);
  for (const [z, slice] of stack.slices.entries())
    placement.scatter(await readIntensities(slice), nx * ny, z * nx * ny, data);
  return { ...gridInMemory(header), data };
}

async function dicomFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(
      `${folder}: expected a folder of DICOM slices, received ${error.code}; check the path`,
      { cause: error },
    );
  });
  const names = entries
    .filter((entry) => !entry.isDirectory() && entry.name !== "DICOMDIR")
    .map(({ name }) => name);
  const paths: string[] = [];
  for (const name of names.sort()) if (await isDicom(join(folder, name))) paths.push(join(folder, name));
  if (paths.length > 0) return paths;
  throw new DataError(
    `${folder}: expected DICOM files, received none among ${names.length} files; give the folder of the slices`,
  );
}

/** By the four letters after the preamble. */
async function isDicom(path: string): Promise<boolean> {
  try {
    await using file = await open(path, "r");
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 128);
    return bytesRead === 4 && buffer.toString("latin1") === "DICM";
  } catch (error) {
    throw describeReadError(path, error);
  }
}

function placeSlice(path: string, { elements, pixelsAt }: SliceFile): SeriesSlice {
  const [ax, ay, az, bx, by, bz] = elements.ImageOrientationPatient;
  return {
    name: path.split("/").at(-1) ?? path,
    path,
    elements,
    pixelsAt,
    series: elements.SeriesInstanceUID,
    rows: elements.Rows,
    columns: elements.Columns,
    position: elements.ImagePositionPatient,
    alongRow: [ax, ay, az],
    alongColumn: [bx, by, bz],
    pixelSpacing: elements.PixelSpacing,
  };
}

/** Values of a slice, row by row. */
async function readIntensities({ path, elements, pixelsAt }: SeriesSlice): Promise<Float64Array> {
  const { BitsAllocated, BitsStored, PixelRepresentation, RescaleSlope, RescaleIntercept } = elements;
  const bytes = await readPixels(path, pixelsAt, pixelBytes(elements));
  const values = new Float64Array(elements.Rows * elements.Columns);
  const isSigned = PixelRepresentation === 1;
  const type = voxelTypes[`${isSigned ? "int" : "uint"}${BitsAllocated}`];
  type.decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), values.length, true, values);
  // Bits above those that are stored mean something else.
  const unused = 32 - BitsStored;
  for (let i = 0; i < values.length; i++) {
    const bits = (values[i] ?? 0) << unused;
    const value = (isSigned ? bits >> unused : bits >>> unused) * RescaleSlope + RescaleIntercept;
    if (!Number.isFinite(Math.fround(value))) {
      throw new DataError(
        `${path}: expected finite numbers for the voxels, received ${value} by its slope ${RescaleSlope} and ` +
          `intercept ${RescaleIntercept}; leave this file out`,
      );
    }
    values[i] = value;
  }
  return values;
}

async function readPixels(path: string, start: number, count: number): Promise<Buffer> {
  try {
    await using file = await open(path, "r");
    const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, start);
    if (bytesRead === count) return buffer;
  } catch (error) {
    throw describeReadError(path, error);
  }
  throw new DataError(
    `${path}: expected ${count} bytes of pixels as before, received fewer; leave the folder alone while it is read`,
  );
}
