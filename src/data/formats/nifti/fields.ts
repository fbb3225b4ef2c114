import { NIFTI1, NIFTI2 } from "nifti-reader-js";

type Kind = "u8" | "i16" | "i32" | "i64" | "f32" | "f64";
/** Place of a field in bytes, and what its numbers are. */
type Field = readonly [offset: number, kind: Kind];

/** Where the fields of a NIfTI version lie that we write or that nifti-reader-js reads wrongly. */
export interface NiftiLayout {
  readonly version: 1 | 2;
  /** Bytes of the header; its first field holds this number. */
  readonly size: number;
  readonly magic: readonly [offset: number, text: string];
  readonly dim: Field;
  readonly datatype: Field;
  readonly bitpix: Field;
  readonly pixdim: Field;
  readonly voxOffset: Field;
  readonly slope: Field;
  readonly intercept: Field;
  readonly calMax: Field;
  readonly calMin: Field;
  readonly units: Field;
  readonly sformCode: Field;
  readonly srow: Field;
  readonly intentCode: Field;
  /** Three numbers. */
  readonly intentParameters: Field;
  /** 16 bytes. */
  readonly intentName: number;
  /** 80 bytes. */
  readonly description: number;
}

const nifti1: NiftiLayout = {
  version: 1,
  size: 348,
  magic: [344, "n+1\0"],
  dim: [40, "i16"],
  datatype: [70, "i16"],
  bitpix: [72, "i16"],
  pixdim: [76, "f32"],
  voxOffset: [108, "f32"],
  slope: [112, "f32"],
  intercept: [116, "f32"],
  calMax: [124, "f32"],
  calMin: [128, "f32"],
  units: [123, "u8"],
  sformCode: [254, "i16"],
  srow: [280, "f32"],
  intentCode: [68, "i16"],
  intentParameters: [56, "f32"],
  intentName: 328,
  description: 148,
};

const nifti2: NiftiLayout = {
  version: 2,
  size: 540,
  magic: [4, "n+2\0\r\n\x1a\n"],
  dim: [16, "i64"],
  datatype: [12, "i16"],
  bitpix: [14, "i16"],
  pixdim: [104, "f64"],
  voxOffset: [168, "i64"],
  slope: [176, "f64"],
  intercept: [184, "f64"],
  calMax: [192, "f64"],
  calMin: [200, "f64"],
  units: [500, "i32"],
  sformCode: [348, "i32"],
  srow: [400, "f64"],
  intentCode: [504, "i32"],
  intentParameters: [80, "f64"],
  intentName: 508,
  description: 240,
};

export const niftiLayouts: Readonly<Record<1 | 2, NiftiLayout>> = { 1: nifti1, 2: nifti2 };

const BYTES: Readonly<Record<Kind, number>> = { u8: 1, i16: 2, i32: 4, i64: 8, f32: 4, f64: 8 };

/** Reads and writes numbers of a header in its byte order. */
export class HeaderView {
  readonly #view: DataView;

  constructor(
    readonly bytes: Uint8Array<ArrayBuffer>,
    readonly littleEndian: boolean,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Number `index` of a field. */
  get([offset, kind]: Field, index = 0): number {
    const at = offset + index * BYTES[kind];
    const [view, little] = [this.#view, this.littleEndian];
    switch (kind) {
      case "u8":
        return view.getUint8(at);
      case "i16":
        return view.getInt16(at, little);
      case "i32":
        return view.getInt32(at, little);
      case "i64":
        return Number(view.getBigInt64(at, little));
      case "f32":
        return view.getFloat32(at, little);
      case "f64":
        return view.getFloat64(at, little);
    }
  }

  /** Sets the numbers of a field from its first on. */
  put([offset, kind]: Field, ...values: readonly number[]): void {
    const [view, little] = [this.#view, this.littleEndian];
    for (const [index, value] of values.entries()) {
      const at = offset + index * BYTES[kind];
      if (kind === "u8") view.setUint8(at, value);
      else if (kind === "i16") view.setInt16(at, value, little);
      else if (kind === "i32") view.setInt32(at, value, little);
      else if (kind === "i64") view.setBigInt64(at, BigInt(value), little);
      else if (kind === "f32") view.setFloat32(at, value, little);
      else view.setFloat64(at, value, little);
    }
  }
}

/** A header taken apart. */
export interface NiftiFields extends HeaderView {
  readonly layout: NiftiLayout;
  /** As nifti-reader-js has them; only fields that it reads rightly are used. */
  readonly parsed: NIFTI1 | NIFTI2;
  /** dim[0..7]: rank, then extents. */
  readonly dims: readonly number[];
  readonly voxOffset: number;
}

/**
 * Takes a header apart. nifti-reader-js does it; NIfTI-2's 64-bit fields, which it swaps (big-endian) or shifts by 2^64
 * (negative), are read anew.
 *
 * @param bytes exactly the header, with right size and magic fields
 */
export function parseFields(bytes: Uint8Array<ArrayBuffer>, layout: NiftiLayout): NiftiFields {
  const parsed = layout.version === 1 ? new NIFTI1() : new NIFTI2();
  parsed.readHeader(bytes.buffer);
  const view = new HeaderView(bytes, parsed.littleEndian);
  return Object.assign(view, {
    layout,
    parsed,
    dims: Array.from({ length: 8 }, (_, i) => view.get(layout.dim, i)),
    voxOffset: view.get(layout.voxOffset),
  });
}
