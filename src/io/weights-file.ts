import { DataError } from "../errors.js";
import type { HostTensor } from "./host-tensor.js";
import { openPth } from "./pth/pth.js";
import { openSafetensors } from "./safetensors.js";
import { readAllTensors, type TensorFile } from "./tensor-file.js";

/** Opens weights in either format, by the file's name. @throws DataError for other names and damaged files */
export async function openWeights(path: string): Promise<TensorFile> {
  if (/\.safetensors$/i.test(path)) return openSafetensors(path);
  if (/\.(pth|pt|bin)$/i.test(path)) return openPth(path);
  throw new DataError(
    `${path}: expected weights named .safetensors, .pth, .pt or .bin, received another name; rename the file`,
  );
}

/** Reads all tensors of a weights file. @throws DataError as openWeights */
export async function readWeights(path: string): Promise<Map<string, HostTensor>> {
  await using file = await openWeights(path);
  return await readAllTensors(file);
}
