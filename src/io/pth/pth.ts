import { DataError } from "../../errors.js";
import { dtypeBytes, elementCount, type HostTensor, type TensorDtype, viewElements } from "../host-tensor.js";
import { readFully, withFile } from "../read-file.js";
import { namedTensor, type TensorFile, type TensorInfo } from "../tensor-file.js";
import { isTensor, type PickleDict, type PickleValue, type TensorReference } from "./pickle-values.js";
import { dtypeOfStorage } from "./storage-types.js";
import { unpickle } from "./unpickler.js";
import { ZipArchive } from "./zip.js";

/** Keys under which a training checkpoint keeps its state dict. */
const stateDictKeys = ["model", "state_dict", "net"];

/** Longest pickle that is read, in bytes; SAM ViT-H's is about 60 kB. */
const maxPickleBytes = 8 * 2 ** 20;

/**
 * Opens a PyTorch checkpoint (the zip format of torch.save since 1.6) without running any of its code. The root may be
 * a state dict or a dict that holds one under `model`, `state_dict` or `net`; entries that are no tensors (step counters
 * and the like) are left out, and their storages are never read.
 *
 * Axes stay in PyTorch's order. Each tensor is read from its range of the file when it is asked for; strided views
 * become contiguous.
 *
 * @returns tensors in the order of the dict, all of whose types, windows and storages were checked
 * @throws DataError when the file is in the old format, damaged, names Python objects other than tensors, ordered
 *   dicts and plain values, uses an unsupported element type, or would unpack to far more memory than its size
 */
export async function openPth(path: string): Promise<TensorFile> {
  await refuseOldFormat(path);
  const archive = await ZipArchive.open(path);
  try {
    await refuseOtherArchives(archive);
    const root = unpickle(await archive.read("data.pkl"), path);
    return new PthFile(archive, findStateDict(root, path));
  } catch (error) {
    await archive[Symbol.asyncDispose]();
    throw error;
  }
}

async function refuseOldFormat(path: string): Promise<void> {
  await withFile("pth", path, async (handle, size) => {
    const head = new Uint8Array(Math.min(4, size));
    await readFully("pth", path, handle, head, 0);
    const text = String.fromCharCode(...head);
    if (text === "PK\u0003\u0004") {
      return;
    }
    throw new DataError(
      head[0] === 0x80
        ? `pth: expected PyTorch's zip format for ${path}, received the format from before PyTorch 1.6; ` +
            "convert it once in Python: torch.save(torch.load(path, weights_only=True), new_path)"
        : `pth: expected a checkpoint written by torch.save for ${path}, received other bytes ` +
            `(${JSON.stringify(text)}); check the path, a failed download often leaves a web page`,
    );
  });
}

async function refuseOtherArchives(archive: ZipArchive): Promise<void> {
  const pickleBytes = archive.size("data.pkl");
  if (pickleBytes === undefined || archive.size("constants.pkl") !== undefined) {
    throw new DataError(
      `pth: expected a checkpoint written by torch.save for ${archive.path}, received ` +
        `${pickleBytes === undefined ? "a zip file without data.pkl" : "a TorchScript program"}; ` +
        "save its weights with torch.save(model.state_dict(), path)",
    );
  }
  if (pickleBytes > maxPickleBytes) {
    throw new DataError(
      `pth: expected at most ${maxPickleBytes} bytes for the pickle in ${archive.path}, received ${pickleBytes}; ` +
        "save the state dict alone with torch.save(model.state_dict(), path)",
    );
  }
  const orderBytes = archive.size("byteorder");
  if (orderBytes !== undefined) {
    const order = orderBytes > 8 ? "longer text" : new TextDecoder().decode(await archive.read("byteorder"));
    if (order !== "little") {
      throw new DataError(
        `pth: expected byte order little in ${archive.path}, received ${JSON.stringify(order)}; ` +
          "save the file again on a little-endian machine",
      );
    }
  }
}

function findStateDict(root: PickleValue, path: string): [string, TensorReference][] {
  const candidates = [...stateDictKeys.map((key) => (root instanceof Map ? root.get(key) : undefined)), root];
  for (const candidate of candidates) {
    const entries = candidate instanceof Map ? namedTensors(candidate) : [];
    if (entries.length > 0) {
      return entries;
    }
  }
  const found =
    root instanceof Map
      ? [...root.keys()]
          .filter((key) => typeof key === "string")
          .slice(0, 8)
          .join(", ")
      : "no dict";
  throw new DataError(
    `pth: expected tensors at the top or under ${stateDictKeys.join(", ")} in ${path}, received keys (${found}); ` +
      "save the state dict alone with torch.save(model.state_dict(), path)",
  );
}

function namedTensors(dict: PickleDict): [string, TensorReference][] {
  const entries: [string, TensorReference][] = [];
  for (const [name, value] of dict) {
    if (typeof name === "string" && isTensor(value)) {
      entries.push([name, value]);
    }
  }
  return entries;
}

/** A tensor of the state dict: what it is, and the window of a storage that holds it. */
interface PthEntry extends TensorInfo {
  readonly reference: TensorReference;
  /** Whether the storage as it lies in the file is the tensor. */
  readonly isWhole: boolean;
}

class PthFile implements TensorFile {
  readonly metadata = {};
  readonly tensors: ReadonlyMap<string, PthEntry>;
  /** The storage that a window was cut from last: views of one storage mostly follow one another. */
  private shared: { readonly key: string; readonly buffer: ArrayBuffer } | undefined;

  constructor(
    private readonly archive: ZipArchive,
    references: readonly [string, TensorReference][],
  ) {
    this.tensors = new Map(references.map(([name, reference]) => [name, this.entry(name, reference)]));
    // A small file can describe any number of windows on one storage. Real checkpoints repeat a tensor at most
    // a few times (tied weights, a model and its average).
    const bytes = [...this.tensors.values()].reduce(
      (sum, { dtype, shape }) => sum + elementCount(shape) * dtypeBytes(dtype),
      0,
    );
    const [last = ""] = references.at(-1) ?? [];
    if (bytes > 4 * archive.fileSize + 2 ** 20)
      throw this.bad(last, "tensors of about the file's size in all", "many windows on the same data");
  }

  get path(): string {
    return this.archive.path;
  }

  async read(name: string): Promise<HostTensor> {
    const { dtype, shape, reference, isWhole } = namedTensor(this.tensors, name, this.path);
    const { key } = reference.storage;
    const count = elementCount(shape);
    if (isWhole) {
      const { buffer } = await this.archive.read(`data/${key}`);
      return { dtype, shape, data: viewElements(dtype, buffer, 0, count) };
    }
    if (this.shared?.key !== key)
      this.shared = { key, buffer: (await this.archive.read(`data/${key}`)).buffer };
    return { dtype, shape, data: gather(dtype, this.shared.buffer, reference, count) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.archive[Symbol.asyncDispose]();
  }

  private entry(name: string, reference: TensorReference): PthEntry {
    const { storage, offset, shape, strides } = reference;
    const dtype = dtypeOfStorage.get(storage.type);
    if (dtype === undefined) {
      throw this.bad(name, `one of ${[...dtypeOfStorage.keys()].join(", ")}`, storage.type);
    }
    const count = elementCount(shape);
    const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset);
    if (!(count <= storage.count) || (count > 0 && last >= storage.count)) {
      throw this.bad(
        name,
        `a window within ${storage.count} elements`,
        `shape [${shape}], strides [${strides}]`,
      );
    }
    const bytes = storage.count * dtypeBytes(dtype);
    const size = this.archive.size(`data/${storage.key}`);
    if (size !== bytes) {
      throw this.bad(name, `${bytes} bytes in data/${storage.key}`, `${size ?? "no such entry"}`);
    }
    return { dtype, shape, reference, isWhole: count === storage.count && isContiguous(shape, strides) };
  }

  private bad(name: string, expected: string, received: string): DataError {
    return new DataError(
      `pth: expected ${expected} for tensor ${JSON.stringify(name)} in ${this.path}, received ${received}; ` +
        "save clones: torch.save({k: v.detach().clone().contiguous() for k, v in state.items()}, path)",
    );
  }
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    if (shape[axis] !== 1 && strides[axis] !== expected) {
      return false;
    }
    expected *= shape[axis] ?? 1;
  }
  return true;
}

/** Copies a strided window to a contiguous array, element by element in row-major order. */
function gather(dtype: TensorDtype, buffer: ArrayBuffer, reference: TensorReference, count: number) {
  const { offset, shape, strides, storage } = reference;
  const source = viewElements(dtype, buffer, 0, storage.count);
  const target = viewElements(dtype, new ArrayBuffer(count * dtypeBytes(dtype)), 0, count);
  const index = shape.map(() => 0);
  let position = offset;
  for (let i = 0; i < count; i += 1) {
    target[i] = source[position] ?? 0;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const next = (index[axis] ?? 0) + 1;
      position += strides[axis] ?? 0;
      if (next < (shape[axis] ?? 1)) {
        index[axis] = next;
        break;
      }
      index[axis] = 0;
      position -= next * (strides[axis] ?? 0);
    }
  }
  return target;
}
