/** Reads `count` voxels from the start of `view` into `out`, as doubles. */
type Decode = (view: DataView, count: number, little: boolean, out: Float64Array) => void;

/** One element type of stored voxels. */
export interface VoxelType {
  readonly name:
    | "uint8"
    | "int8"
    | "uint16"
    | "int16"
    | "uint32"
    | "int32"
    | "uint64"
    | "int64"
    | "float32"
    | "float64";
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

/** The types of plain numbers that volumes can be stored as. */
export const voxelTypes: Readonly<Record<VoxelType["name"], VoxelType>> = {
  uint8: { name: "uint8", bytes: 1, decode: decodeUint8 },
  int8: { name: "int8", bytes: 1, decode: decodeInt8 },
  uint16: { name: "uint16", bytes: 2, decode: decodeUint16 },
  int16: { name: "int16", bytes: 2, decode: decodeInt16 },
  uint32: { name: "uint32", bytes: 4, decode: decodeUint32 },
  int32: { name: "int32", bytes: 4, decode: decodeInt32 },
  uint64: { name: "uint64", bytes: 8, decode: decodeUint64 },
  int64: { name: "int64", bytes: 8, decode: decodeInt64 },
  float32: { name: "float32", bytes: 4, decode: decodeFloat32 },
  float64: { name: "float64", bytes: 8, decode: decodeFloat64 },
};
