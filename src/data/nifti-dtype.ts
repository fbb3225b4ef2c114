/** Reads `count` voxels from the start of `view` into `out`, as doubles. */
type Decode = (view: DataView, count: number, little: boolean, out: Float64Array) => void;

/** One element type of NIfTI-1. */
export interface NiftiDtype {
  readonly name: string;
  /** The header's datatype field. */
  readonly code: number;
  /** Bytes per voxel. */
  readonly bytes: number;
  readonly decode: Decode;
}

const TWO_32 = 2 ** 32;

// A loop per type instead of one loop with a getter: the engine then inlines the read.
const decodeInt8: Decode = (view, count, _little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getInt8(i);
};
const decodeUint8: Decode = (view, count, _little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getUint8(i);
};
const decodeInt16: Decode = (view, count, little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getInt16(2 * i, little);
};
const decodeUint16: Decode = (view, count, little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getUint16(2 * i, little);
};
const decodeInt32: Decode = (view, count, little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getInt32(4 * i, little);
};
const decodeUint32: Decode = (view, count, little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getUint32(4 * i, little);
};
const decodeFloat32: Decode = (view, count, little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getFloat32(4 * i, little);
};
const decodeFloat64: Decode = (view, count, little, out) => {
  for (let i = 0; i < count; i++) out[i] = view.getFloat64(8 * i, little);
};
// 64-bit integers: the high word times 2^32 is exact, so the sum is rounded once, to the nearest double.
const decodeInt64: Decode = (view, count, little, out) => {
  const [low, high] = little ? [0, 4] : [4, 0];
  for (let i = 0; i < count; i++) {
    out[i] = view.getInt32(8 * i + high, little) * TWO_32 + view.getUint32(8 * i + low, little);
  }
};
const decodeUint64: Decode = (view, count, little, out) => {
  const [low, high] = little ? [0, 4] : [4, 0];
  for (let i = 0; i < count; i++) {
    out[i] = view.getUint32(8 * i + high, little) * TWO_32 + view.getUint32(8 * i + low, little);
  }
};

/** Types that we also write. */
export const UINT8: NiftiDtype = { name: "uint8", code: 2, bytes: 1, decode: decodeUint8 };
export const UINT16: NiftiDtype = { name: "uint16", code: 512, bytes: 2, decode: decodeUint16 };
export const FLOAT32: NiftiDtype = { name: "float32", code: 16, bytes: 4, decode: decodeFloat32 };

const DTYPES: readonly NiftiDtype[] = [
  UINT8,
  UINT16,
  FLOAT32,
  { name: "int8", code: 256, bytes: 1, decode: decodeInt8 },
  { name: "int16", code: 4, bytes: 2, decode: decodeInt16 },
  { name: "int32", code: 8, bytes: 4, decode: decodeInt32 },
  { name: "uint32", code: 768, bytes: 4, decode: decodeUint32 },
  { name: "int64", code: 1024, bytes: 8, decode: decodeInt64 },
  { name: "uint64", code: 1280, bytes: 8, decode: decodeUint64 },
  { name: "float64", code: 64, bytes: 8, decode: decodeFloat64 },
];

const OTHER_NAMES: Readonly<Record<number, string>> = {
  1: "1-bit voxels",
  32: "complex64 voxels",
  128: "RGB voxels",
  1536: "float128 voxels",
  1792: "complex128 voxels",
  2048: "complex256 voxels",
  2304: "RGBA voxels",
};

/** The type with this datatype code; undefined for those that are no plain numbers. */
export function niftiDtypeByCode(code: number): NiftiDtype | undefined {
  return DTYPES.find((dtype) => dtype.code === code);
}

/** How messages call the type with this datatype code. */
export function niftiTypeName(code: number): string {
  return niftiDtypeByCode(code)?.name ?? OTHER_NAMES[code] ?? `datatype code ${code}`;
}
