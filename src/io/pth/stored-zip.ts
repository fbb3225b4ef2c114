import { crc32 } from "node:zlib";
import { DataError } from "../../errors.js";

/** Entries start at multiples of this, in bytes, as torch.save has it for files that are mapped into memory. */
const alignment = 64;
const maxBytes = 2 ** 32 - 1;
const maxEntries = 2 ** 16 - 1;

/** Makes a zip file of uncompressed entries piece by piece: entries in turn, then the directory. */
export class StoredZip {
  private readonly records: Uint8Array[] = [];
  private position = 0;

  /**
   * @param path names the file in errors
   * @param folder the folder that all entries lie in
   */
  constructor(
    private readonly path: string,
    private readonly folder: string,
  ) {}

  /** The pieces of an entry. @throws DataError when the file would exceed what the plain zip format can hold */
  *entry(name: string, data: Uint8Array): Iterable<Uint8Array> {
    const fullName = new TextEncoder().encode(`${this.folder}/${name}`);
    const before = this.position + 30 + fullName.length + 4;
    const padding = new Uint8Array(4 + ((alignment - (before % alignment)) % alignment));
    // An extra field of torch's own id, "FB", that readers skip.
    const extra = new DataView(padding.buffer);
    extra.setUint16(0, 0x4246, true);
    extra.setUint16(2, padding.length - 4, true);
    const offset = this.position;
    const common = new DataView(new ArrayBuffer(26));
    common.setUint16(0, 20, true); // version needed: 2.0
    common.setUint32(10, crc32(data), true); // flags, method and time before it stay 0
    common.setUint32(14, data.length, true);
    common.setUint32(18, data.length, true);
    common.setUint16(22, fullName.length, true);
    const local = new DataView(new ArrayBuffer(30));
    local.setUint32(0, 0x04034b50, true);
    new Uint8Array(local.buffer).set(new Uint8Array(common.buffer), 4);
    local.setUint16(28, padding.length, true);
    const record = new DataView(new ArrayBuffer(46));
    record.setUint32(0, 0x02014b50, true);
    record.setUint16(4, 20, true); // made by version 2.0
    new Uint8Array(record.buffer).set(new Uint8Array(common.buffer), 6);
    record.setUint32(42, offset, true);
    this.position += 30 + fullName.length + padding.length + data.length;
    this.records.push(new Uint8Array(record.buffer), fullName);
    if (this.position > maxBytes || this.records.length > 2 * maxEntries)
      throw new DataError(
        `pth: expected at most 4 GiB and ${maxEntries} tensors for ${this.path}, received more; write .safetensors`,
      );
    yield new Uint8Array(local.buffer);
    yield fullName;
    yield padding;
    yield data;
  }

  /** The directory that ends the file. */
  directory(): Uint8Array {
    const size = this.records.reduce((sum, part) => sum + part.length, 0);
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, 0x06054b50, true);
    end.setUint16(8, this.records.length / 2, true);
    end.setUint16(10, this.records.length / 2, true);
    end.setUint32(12, size, true);
    end.setUint32(16, this.position, true);
    return Buffer.concat([...this.records, new Uint8Array(end.buffer)]);
  }
}
