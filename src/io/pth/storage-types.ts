import type { TensorDtype } from "../host-tensor.js";

/** Element type by the name of torch's storage class, without `torch.`. */
export const dtypeOfStorage: ReadonlyMap<string, TensorDtype> = new Map([
  ["DoubleStorage", "f64"],
  ["FloatStorage", "f32"],
  ["HalfStorage", "f16"],
  ["BFloat16Storage", "bf16"],
  ["LongStorage", "i64"],
  ["IntStorage", "i32"],
  ["ShortStorage", "i16"],
  ["CharStorage", "i8"],
  ["ByteStorage", "u8"],
  ["BoolStorage", "bool"],
]);

/** Name of torch's storage class by element type; torch has none for the other unsigned integers. */
export const storageOfDtype: ReadonlyMap<TensorDtype, string> = new Map(
  [...dtypeOfStorage].map(([name, dtype]) => [dtype, name]),
);
