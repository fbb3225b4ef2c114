/** A reference to a storage of the archive, as torch writes it: ("storage", type, key, location, count). */
export interface StorageReference {
  readonly kind: "storage";
  /** Name of the torch class, such as `FloatStorage`. */
  readonly type: string;
  /** File name below `data/`. */
  readonly key: string;
  /** Number of elements. */
  readonly count: number;
}

/** A tensor as described by the pickle: a strided window of a storage. Offset and strides count elements. */
export interface TensorReference {
  readonly kind: "tensor";
  readonly storage: StorageReference;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A Python global that the pickle names; it is never looked up, only compared with the list of known ones. */
export interface GlobalName {
  readonly kind: "global";
  readonly name: string;
}

/** A Python tuple. */
export interface PickleTuple {
  readonly kind: "tuple";
  readonly items: readonly PickleValue[];
}

/** A Python dict or OrderedDict. Keys are compared as JavaScript compares them. */
export type PickleDict = Map<PickleValue, PickleValue>;

/** Anything that a pickle of tensors, numbers, texts, lists and dicts can hold. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | PickleDict
  | PickleTuple
  | GlobalName
  | StorageReference
  | TensorReference;

/** Whether a value is a tensor reference. */
export function isTensor(value: PickleValue | undefined): value is TensorReference {
  return hasKind(value, "tensor");
}

/** Whether a value is a Python tuple. */
export function isTuple(value: PickleValue | undefined): value is PickleTuple {
  return hasKind(value, "tuple");
}

/** Whether a value is the name of a Python global. */
export function isGlobal(value: PickleValue | undefined): value is GlobalName {
  return hasKind(value, "global");
}

/** Whether a value is a storage reference. */
export function isStorage(value: PickleValue | undefined): value is StorageReference {
  return hasKind(value, "storage");
}

function hasKind(value: PickleValue | undefined, kind: string): boolean {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === kind;
}

/** Whether a value can be a size, an offset or a stride. */
export function isSize(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
