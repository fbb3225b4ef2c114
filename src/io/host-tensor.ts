import { DataError } from "../errors.js";

/** A typed array that can hold tensor elements. f16 and bf16 are kept as their 16 bits. */
export type HostArray =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

const arrays = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  i32: Int32Array,
  u32: Uint32Array,
  i16: Int16Array,
  u16: Uint16Array,
  i8: Int8Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const;

/** Element types of files; `f16` and `bf16` are stored as bits, `bool` as bytes 0 and 1. */
export type TensorDtype = keyof typeof arrays;

/** A tensor in JavaScript memory, row-major (last axis fastest), as a file holds it. */
export interface HostTensor {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/** Size of one element in bytes. */
export function dtypeBytes(dtype: TensorDtype): number {
  return arrays[dtype].BYTES_PER_ELEMENT;
}

/** Number of elements of a shape; 1 for the empty shape of a scalar. May exceed the safe integers. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Views `count` elements of a buffer without copying.
 *
 * @param byteOffset bytes from the start of the buffer, a multiple of the element size
 */
export function viewElements(
  dtype: TensorDtype,
  buffer: ArrayBuffer,
  byteOffset: number,
  count: number,
): HostArray {
  return new arrays[dtype](buffer, byteOffset, count);
}

/** The tensor's bytes in memory order (little-endian, as all machines this package runs on), not copied. */
export function tensorBytes(tensor: HostTensor): Uint8Array<ArrayBuffer> {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

/**
 * The tensor's values as f32, rounded to nearest. An f32 tensor is returned without a copy; bool gives 0 and 1.
 *
 * @throws DataError when the data's length is not the product of the shape
 */
export function toFloat32(tensor: HostTensor): Float32Array<ArrayBuffer> {
  const { dtype, data } = tensor;
  if (data.length !== elementCount(tensor.shape)) {
    throw new DataError(
      `toFloat32: expected ${elementCount(tensor.shape)} elements for shape [${tensor.shape.join(", ")}], ` +
        `received ${data.length}; the tensor was put together wrongly`,
    );
  }
  if (data instanceof Float32Array) {
    return data;
  }
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    return Float32Array.from(data, Number);
  }
  if (dtype === "f16") {
    return Float32Array.from(data, halfToFloat);
  }
  if (dtype === "bf16") {
    const bits = Uint32Array.from(data, (value) => value << 16);
    return new Float32Array(bits.buffer);
  }
  return Float32Array.from(data);
}

/** The bits of the nearest bf16 of each value, the even one of two; NaN stays NaN. */
export function bf16Bits(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = words[i] ?? 0;
    const isNumber = (word & 0x7fffffff) <= 0x7f800000;
    bits[i] = isNumber ? (word + 0x7fff + ((word >>> 16) & 1)) >>> 16 : 0x7fc0;
  }
  return bits;
}

/** Value of an IEEE 754 binary16 given as its bits. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) {
    return sign * fraction * 2 ** -24;
  }
  if (exponent === 0x1f) {
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The tensors whose names begin with a prefix, by what comes behind it. */
export function tensorsUnder(
  tensors: ReadonlyMap<string, HostTensor>,
  prefix: string,
): Map<string, HostTensor> {
  const found = new Map<string, HostTensor>();
  for (const [name, tensor] of tensors)
    if (name.startsWith(prefix)) found.set(name.slice(prefix.length), tensor);
  return found;
}
