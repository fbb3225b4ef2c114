import * as h5 from "h5wasm/node";

/** A dataset as UA-MT stores it: axes (x, y, z), z fastest. */
interface H5Dataset {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Uint8Array | Uint16Array;
}

/** Writes an h5 file with these datasets, gzip level 4 as the authors' files. */
export async function writeH5(path: string, datasets: Readonly<Record<string, H5Dataset>>): Promise<void> {
  await h5.ready;
  const file = new h5.File(path, "w");
  for (const [name, { shape, data }] of Object.entries(datasets)) {
    file.create_dataset({ name, data, shape: [...shape], chunks: [...shape], compression: 4 });
  }
  file.close();
}
