import { DataError, ShapeError } from "../errors.js";
import { bf16Bits, elementCount, type HostTensor, toFloat32 } from "../io/host-tensor.js";
import type { Precision, TensorData } from "../native/native.js";
import { Tensor } from "../native/tensor.js";
import { RandomStream } from "./random.js";

/** How a tensor starts. `uniform` draws from [-bound, bound). */
export type Initial =
  | { kind: "constant"; value: number }
  | { kind: "uniform"; bound: number }
  | { kind: "normal"; scale: number };

/**
 * One tensor of a model. `torchShape` is its shape in a PyTorch state dict; memory axis i is torch axis `order[i]`;
 * `shape` is the memory shape (axes may be merged after the transpose).
 */
export interface WeightSpec {
  shape: readonly number[];
  torchShape: readonly number[];
  order: readonly number[];
  initial: Initial;
  /** Of the tensor in memory and in files; default f32. An optimiser takes f32 only. */
  dtype?: Precision;
  /** parameter: trained; buffer: statistics and constants; unused: kept for the file format only. */
  role: "parameter" | "buffer" | "unused";
}

/** A vector [n]: bias, norm weight, statistics. */
export function vectorSpec(n: number, initial: Initial, role: WeightSpec["role"] = "parameter"): WeightSpec {
  return { shape: [n], torchShape: [n], order: [0], initial, role };
}

/** A tensor that stands in memory as in the file. */
export function plainSpec(
  shape: readonly number[],
  initial: Initial,
  role: WeightSpec["role"] = "parameter",
): WeightSpec {
  return { shape, torchShape: shape, order: shape.map((_, i) => i), initial, role };
}

/** Bound of PyTorch's default for linear and convolution layers: U(-1/sqrt(fanIn), 1/sqrt(fanIn)). */
export function fanInUniform(fanIn: number): Initial {
  return { kind: "uniform", bound: 1 / Math.sqrt(fanIn) };
}

/** Kaiming's normal start for layers before a ReLU: N(0, 2 / fanIn). */
export function fanInNormal(fanIn: number): Initial {
  return { kind: "normal", scale: Math.sqrt(2 / fanIn) };
}

interface Entry {
  tensor: Tensor;
  spec: WeightSpec;
}

/** What loading a state dict did, by tensor name. */
export interface LoadReport {
  taken: string[];
  /** In the model, not in the file: left as they were. */
  missing: string[];
  /** In the file, not in the model. */
  ignored: string[];
}

/**
 * Visits runs of elements along the memory's last axis: memory indices [memory, memory + length), torch indices from
 * `torch` in steps of `step`.
 */
function forEachRun(
  spec: Pick<WeightSpec, "torchShape" | "order">,
  visit: (memory: number, torch: number, step: number, length: number) => void,
): void {
  const strides: number[] = new Array<number>(spec.torchShape.length).fill(1);
  for (let axis = spec.torchShape.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] ?? 1) * (spec.torchShape[axis + 1] ?? 1);
  const extents = spec.order.map((axis) => spec.torchShape[axis] ?? 1);
  const steps = spec.order.map((axis) => strides[axis] ?? 1);
  const [length, step] = [extents.at(-1) ?? 1, steps.at(-1) ?? 1];
  const index = new Array<number>(extents.length).fill(0);
  const total = elementCount(spec.torchShape);
  let torch = 0;
  for (let memory = 0; memory < total; memory += length) {
    visit(memory, torch, step, length);
    for (let axis = extents.length - 2; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      torch += steps[axis] ?? 0;
      if (next < (extents[axis] ?? 1)) {
        index[axis] = next;
        break;
      }
      torch -= next * (steps[axis] ?? 0);
      index[axis] = 0;
    }
  }
}

/** Copies values in torch's order into a tensor's memory. */
function toMemory(
  spec: Pick<WeightSpec, "torchShape" | "order" | "dtype">,
  memory: TensorData,
  values: Float32Array,
): void {
  const elements = spec.dtype === "bf16" ? bf16Bits(values) : values;
  forEachRun(spec, (to, from, step, length) => {
    for (let i = 0; i < length; i++) memory[to + i] = elements[from + i * step] ?? 0;
  });
}

/**
 * Elements in another order of axes.
 *
 * @param x elements of `shape`
 * @param order axis i of the result is axis order[i] of x
 */
export function permuted(
  x: Float32Array,
  shape: readonly number[],
  order: readonly number[],
): Float32Array<ArrayBuffer> {
  const y = new Float32Array(x.length);
  toMemory({ torchShape: shape, order, dtype: "f32" }, y, x);
  return y;
}

/** Copies a tensor's memory into values in torch's order. */
function toTorch(spec: WeightSpec, memory: TensorData, values: TensorData): void {
  forEachRun(spec, (from, to, step, length) => {
    for (let i = 0; i < length; i++) values[to + i * step] = memory[from + i] ?? 0;
  });
}

/** When the tensors of a WeightSet get their first values: when they are made, or from a file that is loaded later. */
export type FirstValues = "initialised" | "from-file";

/**
 * The tensors of one network by their state-dict names. A model asks for its weights while its graph is built;
 * they are made and initialised on first request (stream `<name>/<tensor>` of the seed, in torch order). With
 * "from-file" they stay zero until `set` or `load`; `initialiseRest` must follow, for those that the file left out.
 * The values of a tensor are then the same as if it had been initialised at once, without the time that this takes
 * for the others.
 */
export class WeightSet {
  private readonly entries = new Map<string, Entry>();
  /** Tensors without values. */
  private readonly unset = new Set<string>();

  /** `name` tells networks of equal architecture apart: student, teacher, sam. */
  constructor(
    readonly name: string,
    private readonly seed: number,
    private readonly firstValues: FirstValues = "initialised",
  ) {}

  /** The tensor `name`; made on first request. Throws ShapeError when requested with another shape. */
  tensor(name: string, spec: WeightSpec): Tensor {
    const known = this.entries.get(name);
    if (known !== undefined) {
      if (known.spec.torchShape.join() !== spec.torchShape.join())
        throw new ShapeError(
          `weights ${this.name}: expected shape [${known.spec.torchShape.join(", ")}] for ${name}, received [${spec.torchShape.join(", ")}]`,
        );
      return known.tensor;
    }
    const tensor = Tensor.zeros(spec.dtype ?? "f32", spec.shape);
    this.entries.set(name, { tensor, spec });
    if (this.firstValues === "initialised") this.initialise(name, { tensor, spec });
    else this.unset.add(name);
    return tensor;
  }

  /** The tensor `name`. Throws ShapeError when the network has none of that name. */
  get(name: string): Tensor {
    return this.entry(name).tensor;
  }

  private entry(name: string): Entry {
    const entry = this.entries.get(name);
    if (entry === undefined)
      throw new ShapeError(`weights ${this.name}: expected a known tensor, received ${name}`);
    return entry;
  }

  /** What each tensor is in a PyTorch state dict, by name, in the order of first request. */
  get specs(): ReadonlyMap<string, WeightSpec> {
    return new Map([...this.entries].map(([name, { spec }]) => [name, spec]));
  }

  /** Initialises the tensors that no file has given values. @returns their names */
  initialiseRest(): string[] {
    const names = [...this.unset];
    for (const name of names) this.initialise(name, this.entry(name));
    this.unset.clear();
    return names;
  }

  private initialise(name: string, { tensor, spec }: Entry): void {
    const { initial } = spec;
    if (initial.kind === "constant") {
      toMemory(spec, tensor.data, new Float32Array(tensor.count).fill(initial.value));
      return;
    }
    const stream = new RandomStream(this.seed, 0, `${this.name}/${name}`);
    const values = new Float32Array(tensor.count);
    for (let i = 0; i < values.length; i++)
      values[i] =
        initial.kind === "uniform"
          ? (2 * stream.uniform() - 1) * initial.bound
          : stream.normal() * initial.scale;
    toMemory(spec, tensor.data, values);
  }

  /** Names and tensors with the given role, in the order of first request. */
  withRole(role: WeightSpec["role"]): { name: string; tensor: Tensor }[] {
    return [...this.entries]
      .filter(([, e]) => e.spec.role === role)
      .map(([name, e]) => ({ name, tensor: e.tensor }));
  }

  /** Number of trained values. */
  get parameterCount(): number {
    return this.withRole("parameter").reduce((total, { tensor }) => total + tensor.count, 0);
  }

  /** The state dict: torch names, shapes and element order; only tensors whose name `isWanted`. */
  toState(isWanted: (name: string) => boolean = () => true): Map<string, HostTensor> {
    const state = new Map<string, HostTensor>();
    for (const [name, { tensor, spec }] of this.entries) {
      if (!isWanted(name)) continue;
      const { dtype = "f32" } = spec;
      const data = dtype === "f32" ? new Float32Array(tensor.count) : new Uint16Array(tensor.count);
      toTorch(spec, tensor.data, data);
      state.set(name, { dtype, shape: [...spec.torchShape], data });
    }
    return state;
  }

  /** Copies values in torch's shape and order into a tensor. Throws DataError when the shape differs. */
  set(name: string, given: HostTensor): void {
    const { tensor, spec } = this.entry(name);
    if (given.shape.join() !== spec.torchShape.join())
      throw new DataError(
        `weights ${this.name}: expected shape [${spec.torchShape.join(", ")}] for ${name}, received [${given.shape.join(", ")}]`,
      );
    toMemory(spec, tensor.data, toFloat32(given));
    this.unset.delete(name);
  }

  /**
   * Copies a state dict into the tensors. Throws DataError when a shape differs; names that only one side has are
   * reported.
   */
  load(state: ReadonlyMap<string, HostTensor>): LoadReport {
    const report: LoadReport = { taken: [], missing: [], ignored: [] };
    for (const name of this.entries.keys()) {
      const given = state.get(name);
      if (given === undefined) report.missing.push(name);
      else {
        this.set(name, given);
        report.taken.push(name);
      }
    }
    for (const name of state.keys()) if (!this.entries.has(name)) report.ignored.push(name);
    return report;
  }

  /** Frees all tensors. */
  dispose(): void {
    for (const { tensor } of this.entries.values()) tensor.dispose();
  }
}
