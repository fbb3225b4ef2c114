import { DataError } from "../errors.js";
import type { HostTensor } from "./host-tensor.js";

/** What a file says of a tensor without its data. */
export type TensorInfo = Pick<HostTensor, "dtype" | "shape">;

/** Tensors by name whose data is read when asked for: a file's, or those of a map. */
export interface TensorSource {
  /** Names, element types and shapes, in the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads one tensor into memory of its own.
   *
   * @throws DataError when there is none of that name, or the file is damaged
   */
  read(name: string): Promise<HostTensor>;
}

/** An open file of tensors. Its directory was read and checked when it was opened; `await using` closes it. */
export interface TensorFile extends TensorSource, AsyncDisposable {
  readonly path: string;
  /** Free text by key; empty for formats that have none. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Tensors that are in memory already. */
export function tensorsInMemory(tensors: ReadonlyMap<string, HostTensor>): TensorSource {
  return { tensors, read: async (name) => namedTensor(tensors, name, "the tensors in memory") };
}

/** Reads all tensors of a source, in its order. @throws DataError as `read` */
export async function readAllTensors(source: TensorSource): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  for (const name of source.tensors.keys()) tensors.set(name, await source.read(name));
  return tensors;
}

/** The entry of a name. @throws DataError naming the place when it has none */
export function namedTensor<T>(entries: ReadonlyMap<string, T>, name: string, place: string): T {
  const entry = entries.get(name);
  if (entry !== undefined) return entry;
  throw new DataError(
    `weights: expected a tensor ${name} in ${place}, received none; list them with sfr inspect`,
  );
}

/** The value of a metadata entry that holds JSON; null for an entry that is missing or holds something else. */
export function jsonOf(entry: string | undefined): unknown {
  try {
    return JSON.parse(entry ?? "null");
  } catch {
    return null;
  }
}
