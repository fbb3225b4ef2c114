import { DtypeError, ShapeError } from "../errors.js";
import { callNative, type Device, type Dtype, type NativeTensor, native, type TensorData } from "./native.js";

/**
 * A typed tensor handle in native host memory, zero-filled when made.
 * The memory lives until dispose() and until every graph that uses it as state is gone.
 */
export class Tensor implements Disposable {
  private constructor(
    /** @internal */
    readonly handle: NativeTensor,
  ) {}

  /** A zero-filled tensor; the last axis of `shape` is the fastest. */
  static zeros(dtype: Dtype, shape: readonly number[]): Tensor {
    return new Tensor(callNative(() => new native.Tensor(dtype, shape)));
  }

  /** A tensor with a copy of `values`. Throws ShapeError when the counts differ. */
  static from(dtype: Dtype, shape: readonly number[], values: ArrayLike<number>): Tensor {
    const tensor = Tensor.zeros(dtype, shape);
    const data = tensor.data;
    if (data.length !== values.length)
      throw new ShapeError(
        `tensor: expected ${data.length} values for shape [${shape.join(", ")}], received ${values.length}`,
      );
    data.set(values);
    return tensor;
  }

  /** An f32 scalar. */
  static scalar(value: number): Tensor {
    return Tensor.from("f32", [], [value]);
  }

  /** @internal */
  static adopt(handle: NativeTensor): Tensor {
    return new Tensor(handle);
  }

  /** A handle on the memory of a tensor that another thread of this process shares. Throws DisposedError when it ended. */
  static open(number: number): Tensor {
    return new Tensor(callNative(() => native.Tensor.open(number)));
  }

  /** The number by which Tensor.open() finds this memory in another thread, until dispose(). */
  share(): number {
    return callNative(() => this.handle.share());
  }

  get dtype(): Dtype {
    return this.handle.dtype;
  }

  get shape(): readonly number[] {
    return this.handle.shape;
  }

  get device(): Device {
    return this.handle.device;
  }

  /** Number of elements. */
  get count(): number {
    return this.shape.reduce((product, extent) => product * extent, 1);
  }

  /** The tensor's own memory, not a copy; detached by dispose(). Throws DisposedError after that. */
  get data(): TensorData {
    return callNative(() => this.handle.data());
  }

  /** The memory of an f32 tensor. Throws DtypeError on another type. */
  get f32(): Float32Array<ArrayBuffer> {
    const data = this.data;
    if (!(data instanceof Float32Array)) throw new DtypeError(`tensor: expected f32, received ${this.dtype}`);
    return data;
  }

  /** The memory of a u8 tensor. Throws DtypeError on another type. */
  get u8(): Uint8Array<ArrayBuffer> {
    const data = this.data;
    if (!(data instanceof Uint8Array)) throw new DtypeError(`tensor: expected u8, received ${this.dtype}`);
    return data;
  }

  /** Value of a tensor with one element. */
  get item(): number {
    const [value] = this.data;
    if (value === undefined || this.count !== 1)
      throw new ShapeError(`tensor: expected one element, received shape [${this.shape.join(", ")}]`);
    return value;
  }

  /** Fills the tensor with little-endian elements at `offset` bytes of a file. Throws DataError when too short. */
  fillFromFile(path: string, offset: number): void {
    callNative(() => this.handle.fillFromFile(path, offset));
  }

  get disposed(): boolean {
    return this.handle.disposed;
  }

  /** Ends this handle: views of it become empty, further use throws DisposedError. Idempotent. */
  dispose(): void {
    this.handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
