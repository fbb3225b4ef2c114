import { DataError } from "../../errors.js";
import { dtypeBytes, elementCount, type HostTensor, type TensorDtype, viewElements } from "../host-tensor.js";
import { readFully, withFile } from "../read-file.js";
import { isTensor, type PickleDict, type PickleValue, type TensorReference } from "./pickle-values.js";
import { unpickle } from "./unpickler.js";
import { withZip, type ZipArchive } from "./zip.js";

const dtypeOfStorage: Readonly<Record<string, TensorDtype>> = {
  DoubleStorage: "f64",
  FloatStorage: "f32",
  HalfStorage: "f16",
  BFloat16Storage: "bf16",
  LongStorage: "i64",
  IntStorage: "i32",
  ByteStorage: "u8",
  BoolStorage: "bool",
};

/** Keys under which a training checkpoint keeps its state dict. */
const stateDictKeys = ["model", "state_dict", "net"];

/** Longest pickle that is read, in bytes; SAM ViT-H's is about 60 kB. */
const maxPickleBytes = 8 * 2 ** 20;

/**
 * Reads the tensors of a PyTorch checkpoint (the zip format of torch.save since 1.6) without running any of its
 * code. The root may be a state dict or a dict that holds one under `model`, `state_dict` or `net`; entries that
 * are no tensors (step counters and the like) are left out, and their storages are not read.
 *
 * Axes stay in PyTorch's order. Strided views become contiguous; tensors that share a storage get copies, except
 * one that is all of its storage.
 *
 * @returns tensors in the order of the dict
 * @throws DataError when the file is in the old format, damaged, names Python objects other than tensors, ordered
 *   dicts and plain values, uses an unsupported element type, or would unpack to far more memory than its size
 */
export async function readPth(path: string): Promise<Map<string, HostTensor>> {
  await refuseOldFormat(path);
  return withZip(path, async (archive) => {
    await refuseOtherArchives(archive);
    const root = unpickle(await archive.read("data.pkl"), path);
    const tensors = new Map<string, HostTensor>();
    const reader = new StorageReader(archive);
    for (const [name, reference] of findStateDict(root, path)) {
      tensors.set(name, await reader.tensor(name, reference));
    }
    return tensors;
  });
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
  if (archive.size("byteorder") !== undefined) {
    const order = new TextDecoder().decode(await archive.read("byteorder"));
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

/** Reads storages once each and cuts tensors out of them, within a bound on the bytes that copies may take. */
class StorageReader {
  private readonly storages = new Map<string, ArrayBuffer>();
  private bytesLeft: number;

  constructor(private readonly archive: ZipArchive) {
    // A small file can describe any number of windows on one storage. Real checkpoints repeat a tensor at most
    // a few times (tied weights, a model and its average).
    this.bytesLeft = 4 * archive.fileSize + 2 ** 20;
  }

  async tensor(name: string, reference: TensorReference): Promise<HostTensor> {
    const { storage, offset, shape, strides } = reference;
    const dtype = dtypeOfStorage[storage.type];
    if (dtype === undefined) {
      throw this.bad(name, `one of ${Object.keys(dtypeOfStorage).join(", ")}`, storage.type);
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
    const buffer = await this.storage(name, storage.key, storage.count * dtypeBytes(dtype));
    if (count === storage.count && isContiguous(shape, strides)) {
      return { dtype, shape, data: viewElements(dtype, buffer, 0, count) };
    }
    this.bytesLeft -= count * dtypeBytes(dtype);
    if (this.bytesLeft < 0) {
      throw this.bad(name, "tensors of about the file's size in all", "many windows on the same data");
    }
    return { dtype, shape, data: gather(dtype, buffer, reference, count) };
  }

  private async storage(name: string, key: string, bytes: number): Promise<ArrayBuffer> {
    const known = this.storages.get(key);
    const size = known?.byteLength ?? this.archive.size(`data/${key}`);
    if (size !== bytes) {
      throw this.bad(name, `${bytes} bytes in data/${key}`, `${size ?? "no such entry"}`);
    }
    const buffer = known ?? (await this.archive.read(`data/${key}`)).buffer;
    this.storages.set(key, buffer);
    return buffer;
  }

  private bad(name: string, expected: string, received: string): DataError {
    return new DataError(
      `pth: expected ${expected} for tensor ${JSON.stringify(name)} in ${this.archive.path}, received ${received}; ` +
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
