import { crc32 } from "node:zlib";

/** A zip file of stored entries, given as names and contents in turn; checksums are right, whatever the contents. */
export function zipOf(...entries: (string | Buffer)[]): Buffer {
  const [locals, centrals]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (let i = 0; i < entries.length; i += 2) {
    const [name, data] = [Buffer.from(entries[i] ?? ""), Buffer.from(entries[i + 1] ?? "")];
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(10, 4);
    local.writeUInt32LE(crc32(data), 14);
    local.writeUInt32LE(data.length, 18);
    local.writeUInt32LE(data.length, 22);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    local.copy(central, 6, 4, 30);
    central.writeUInt32LE(offset, 42);
    locals.push(local, name, data);
    centrals.push(central, name);
    offset += 30 + name.length + data.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length / 2, 8);
  end.writeUInt16LE(entries.length / 2, 10);
  end.writeUInt32LE(Buffer.concat(centrals).length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, ...centrals, end]);
}

/** A tensor of a hand-made pickle: a window of the storage data/0 of `count` f32. */
export interface Window {
  readonly offset?: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Default 4. */
  readonly count?: number;
}

/** Pickle of a dict of tensors with the names w, w1, w2, ... */
export function windowsPickle(...windows: readonly Window[]): Buffer {
  const text = (value: string) => [0x58, value.length, 0, 0, 0, ...Buffer.from(value)];
  const global = (module: string, name: string) => [0x63, ...Buffer.from(`${module}\n${name}\n`)];
  const tuple = (...items: number[][]) => [0x28, ...items.flat(), 0x74];
  const integer = (value: number) => [0x4a, ...new Uint8Array(Int32Array.of(value).buffer)];
  const storage = (count: number) =>
    tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), integer(count));
  const items = windows.flatMap(({ offset = 0, shape, strides, count = 4 }, index) => [
    ...text(index === 0 ? "w" : `w${index}`),
    ...global("torch._utils", "_rebuild_tensor_v2"),
    ...tuple(
      [...storage(count), 0x51],
      integer(offset),
      tuple(...shape.map(integer)),
      tuple(...strides.map(integer)),
      [0x89],
      [...global("collections", "OrderedDict"), 0x29, 0x52],
    ),
    ...[0x52, 0x73],
  ]);
  return Buffer.from([0x80, 2, 0x7d, ...items, 0x2e]);
}

/** A checkpoint with one tensor: 4 f32 of a storage that is there. */
export const plainPth = (): Buffer =>
  zipOf("a/data.pkl", windowsPickle({ shape: [4], strides: [1] }), "a/data/0", Buffer.alloc(16));

/** A copy of a zip file in which `change` has changed the directory's record of each entry, in place. */
export function withRecords(zip: Buffer, change: (record: Buffer, index: number) => void): Buffer {
  const bytes = Buffer.from(zip);
  const signature = Buffer.from("PK\u0001\u0002");
  for (let at = bytes.indexOf(signature), i = 0; at >= 0; at = bytes.indexOf(signature, at + 1), i += 1)
    change(bytes.subarray(at), i);
  return bytes;
}
