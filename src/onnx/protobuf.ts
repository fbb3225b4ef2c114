/** Bytes that are made when they are written, so that weights need not be in memory twice. */
export interface LateBytes {
  /** Count of bytes. */
  readonly length: number;
  make(): Uint8Array;
}

type Piece = Uint8Array | LateBytes;

/** How a field's value is written (protobuf encoding, "wire types"). */
const wire = { varint: 0, bytes: 2, float: 5 } as const;

function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}

/** A protobuf message under construction: fields in the order in which they are added, by number. */
export class Message {
  private readonly pieces: Piece[] = [];
  private size = 0;

  /** Count of bytes so far. */
  get length(): number {
    return this.size;
  }

  /** A whole number: int32, int64 or an enum's value. */
  integer(field: number, value: number): this {
    return this.tag(field, wire.varint).add(varint(value));
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.tag(field, wire.float).add(bytes);
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  bytes(field: number, value: Piece): this {
    return this.tag(field, wire.bytes).add(varint(value.length)).add(value);
  }

  message(field: number, value: Message): this {
    this.tag(field, wire.bytes).add(varint(value.length));
    for (const piece of value.pieces) this.add(piece);
    return this;
  }

  /** The message's bytes, piece by piece. */
  *encoded(): Iterable<Uint8Array> {
    for (const piece of this.pieces) yield piece instanceof Uint8Array ? piece : piece.make();
  }

  private tag(field: number, type: number): this {
    return this.add(varint((field << 3) | type));
  }

  private add(piece: Piece): this {
    this.pieces.push(piece);
    this.size += piece.length;
    return this;
  }
}
