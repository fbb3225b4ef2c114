import { stat } from "node:fs/promises";
import type * as H5wasm from "h5wasm/node";
import { DataError } from "../errors.js";
import { MAX_LABEL_ID } from "./nifti.js";
import { formatShape, type ImageVolume, type LabelVolume, type Vec3, voxelAt } from "./volume.js";

/** One number per element. */
type NumberArray = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | FloatArray;
type FloatArray = Float32Array | Float64Array;

let library: Promise<typeof H5wasm> | undefined;

/** Loaded on first use: the WebAssembly module is large, and most runs need none. */
function loadLibrary(): Promise<typeof H5wasm> {
  library ??= import("h5wasm/node").then(async (module) => {
    const native = await module.ready;
    // Without this a damaged block comes back as zeros and the error goes to stderr only.
    native.activate_throwing_error_handler();
    return module;
  });
  return library;
}

/**
 * Reads dataset `image` of a UA-MT file: (x, y, z) with z fastest on disk, transposed to x fastest.
 * The file has no spacing and no affine.
 *
 * @throws DataError when the file cannot be read, has no 3D `image` of numbers, or holds a value that is
 *   not a finite float32
 */
export async function readH5Image(path: string): Promise<ImageVolume> {
  const { shape, values } = await readDataset(path, "image");
  const data = new Float32Array(values.length);
  transpose(values, shape, data);
  const bad = data.findIndex((value) => value - value !== 0);
  if (bad >= 0) {
    throw new DataError(
      `${path}: expected finite numbers for the voxels, received ${data[bad]} at voxel ` +
        `(${voxelAt(bad, shape).join(", ")}); repair or leave out this case`,
    );
  }
  return { shape, data, spacing: null };
}

/**
 * Reads dataset `label` of a UA-MT file, axes as in readH5Image. Uint8Array when no id is above 255,
 * else Uint16Array.
 *
 * @throws DataError when the file cannot be read, has no 3D `label`, or a voxel is no integer 0..65535
 */
export async function readH5Label(path: string): Promise<LabelVolume> {
  const { shape, values } = await readDataset(path, "label");
  let largest = 0;
  for (const [i, id] of values.entries()) {
    if (!(Number.isInteger(id) && id >= 0 && id <= MAX_LABEL_ID)) {
      const voxel = [
        Math.floor(i / (shape[1] * shape[2])),
        Math.floor(i / shape[2]) % shape[1],
        i % shape[2],
      ];
      throw new DataError(
        `${path}: expected whole numbers 0..${MAX_LABEL_ID} for the label ids, received ${id} at voxel ` +
          `(${voxel.join(", ")}); correct the label`,
      );
    }
    if (id > largest) largest = id;
  }
  const data = largest > 255 ? new Uint16Array(values.length) : new Uint8Array(values.length);
  transpose(values, shape, data);
  return { shape, data, spacing: null };
}

async function readDataset(path: string, name: string): Promise<{ shape: Vec3; values: NumberArray }> {
  await checkFile(path);
  const h5 = await loadLibrary();
  let file: H5wasm.File | undefined;
  try {
    file = new h5.File(path, "r");
    const found = file.keys();
    const entry = found.includes(name) ? file.get(name) : null;
    if (!(entry instanceof h5.Dataset)) {
      throw new DataError(
        `${path}: expected a dataset '${name}', received ${found.join(", ") || "an empty file"}; ` +
          "store the volume under this name",
      );
    }
    return { shape: volumeShape(entry.shape, path, name), values: numberValues(entry.value, path, name) };
  } catch (error) {
    throw describeError(path, error);
  } finally {
    closeQuietly(file);
  }
}

async function checkFile(path: string): Promise<void> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(`${path}: expected a readable h5 file, received ${error.code}; correct the path`, {
      cause: error,
    });
  });
  if (!stats.isFile()) {
    throw new DataError(`${path}: expected an h5 file, received a folder; give the file itself`);
  }
}

function volumeShape(shape: readonly number[] | null, path: string, name: string): Vec3 {
  const [x, y, z, ...more] = shape ?? [];
  if (!x || !y || !z || more.length > 0) {
    throw new DataError(
      `${path}: expected three extents above 0 for '${name}', received ${formatShape(shape ?? [])}; ` +
        "store one 3D volume",
    );
  }
  return [x, y, z];
}

function numberValues(value: unknown, path: string, name: string): NumberArray {
  if (value instanceof BigInt64Array || value instanceof BigUint64Array)
    return Float64Array.from(value, Number);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return value as NumberArray;
  throw new DataError(
    `${path}: expected numbers for '${name}', received another type; store float32 or uint8`,
  );
}

/** From z fastest (C order of axes x, y, z) to x fastest. */
function transpose(values: NumberArray, shape: Vec3, out: Float32Array | Uint8Array | Uint16Array): void {
  const [nx, ny, nz] = shape;
  let at = 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) out[at++] = values[(x * ny + y) * nz + z] ?? 0;
    }
  }
}

/** HDF5 reports a stack of sentences; the innermost one says what happened. */
function describeError(path: string, error: unknown): unknown {
  if (error instanceof DataError || !(error instanceof Error)) return error;
  const sentences = [...error.message.matchAll(/\(\): (.*)/g)].map((match) => match[1]);
  const cause = sentences.at(-1) ?? error.message;
  return new DataError(`${path}: expected a readable h5 file, received '${cause}'; copy the file again`, {
    cause: error,
  });
}

/** Closing a file that could not be read may fail again; the first error is the one to report. */
function closeQuietly(file: H5wasm.File | undefined): void {
  try {
    file?.close();
  } catch {
    // Nothing is lost: the file was opened for reading.
  }
}
