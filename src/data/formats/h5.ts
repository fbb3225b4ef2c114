import { stat } from "node:fs/promises";
import type * as H5wasm from "h5wasm/node";
import { DataError } from "../../errors.js";
import { AS_STORED } from "../orientation.js";
import type { Vec3 } from "../volume.js";
import { checkShape, type VolumeFormat, type WantedVolume } from "./format.js";
import { type VoxelType, voxelTypes } from "./voxel-type.js";

/** Bytes per piece that is handed on; a multiple of every voxel's size. */
const PIECE = 1 << 18;

/** One number per element. */
type NumberArray = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | WideArray;
type WideArray = BigInt64Array | BigUint64Array | Float32Array | Float64Array;

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
 * UA-MT and SSL4MIS files: datasets `image` and `label`, axes (x, y, z) with z fastest. The file has no spacing and no
 * affine. The whole dataset is unpacked in memory by the library.
 */
export const h5: VolumeFormat = {
  extensions: [".hdf5", ".h5"],
  holdsLabel: true,
  resultExtension: ".nii.gz",
  async open(path, wanted) {
    const { shape, values } = await readDataset(path, wanted);
    return {
      header: {
        format: "HDF5",
        shape,
        spacing: null,
        affine: null,
        orientation: AS_STORED,
        fastest: "z",
        type: typeOf(values),
        littleEndian: true,
        slope: 1,
        intercept: 0,
        source: null,
      },
      maxBytes: values.byteLength,
      voxels: pieces(values),
      [Symbol.asyncDispose]: async () => undefined,
    };
  },
};

/** Small pieces, so that whoever decodes them needs little memory. */
async function* pieces(values: NumberArray): AsyncGenerator<Uint8Array> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  for (let start = 0; start < bytes.length; start += PIECE) yield bytes.subarray(start, start + PIECE);
}

function typeOf(values: NumberArray): VoxelType {
  if (values instanceof BigInt64Array) return voxelTypes.int64;
  if (values instanceof BigUint64Array) return voxelTypes.uint64;
  if (values instanceof Float32Array) return voxelTypes.float32;
  if (values instanceof Float64Array) return voxelTypes.float64;
  const signed = values instanceof Int8Array || values instanceof Int16Array || values instanceof Int32Array;
  const bits = (8 * values.BYTES_PER_ELEMENT) as 8 | 16 | 32;
  return signed ? voxelTypes[`int${bits}`] : voxelTypes[`uint${bits}`];
}

async function readDataset(
  path: string,
  wanted: WantedVolume,
): Promise<{ shape: Vec3; values: NumberArray }> {
  const name = wanted.content;
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
    return {
      shape: checkShape(path, entry.shape ?? [], wanted),
      values: numberValues(entry.value, path, name),
    };
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

function numberValues(value: unknown, path: string, name: string): NumberArray {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return value as NumberArray;
  throw new DataError(
    `${path}: expected numbers for '${name}', received another type; store float32 or uint8`,
  );
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
