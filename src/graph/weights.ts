import { RandomStream } from "../data/random.js";
import { DataError, ShapeError } from "../errors.js";
import type { HostTensor } from "../io/host-tensor.js";
import { toFloat32 } from "../io/host-tensor.js";
import { Tensor } from "../native/tensor.js";

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

function count(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Visits (memory index, torch index) of every element. */
function forEachElement(spec: WeightSpec, visit: (memory: number, torch: number) => void): void {
  const strides: number[] = new Array<number>(spec.torchShape.length).fill(1);
  for (let axis = spec.torchShape.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] ?? 1) * (spec.torchShape[axis + 1] ?? 1);
  const extents = spec.order.map((axis) => spec.torchShape[axis] ?? 1);
  const steps = spec.order.map((axis) => strides[axis] ?? 1);
  const index = new Array<number>(extents.length).fill(0);
  const total = count(spec.torchShape);
  let torch = 0;
  for (let memory = 0; memory < total; memory++) {
    visit(memory, torch);
    for (let axis = extents.length - 1; axis >= 0; axis--) {
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

/**
 * The tensors of one network by their state-dict names. A model asks for its weights while its graph is built;
 * they are made and initialised on first request (stream `<name>/<tensor>` of the seed, in torch order).
 */
export class WeightSet {
  private readonly entries = new Map<string, Entry>();

  /** `name` tells networks of equal architecture apart: student, teacher, sam. */
  constructor(
    readonly name: string,
    private readonly seed: number,
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
    const tensor = Tensor.zeros("f32", spec.shape);
    this.entries.set(name, { tensor, spec });
    this.initialise(name, tensor, spec);
    return tensor;
  }

  /** The tensor `name`. Throws ShapeError when the network has none of that name. */
  get(name: string): Tensor {
    const entry = this.entries.get(name);
    if (entry === undefined)
      throw new ShapeError(`weights ${this.name}: expected a known tensor, received ${name}`);
    return entry.tensor;
  }

  private initialise(name: string, tensor: Tensor, spec: WeightSpec): void {
    const { initial } = spec;
    const data = tensor.f32;
    if (initial.kind === "constant") {
      data.fill(initial.value);
      return;
    }
    const stream = new RandomStream(this.seed, 0, `${this.name}/${name}`);
    const values = new Float32Array(data.length);
    for (let i = 0; i < values.length; i++)
      values[i] =
        initial.kind === "uniform"
          ? (2 * stream.uniform() - 1) * initial.bound
          : stream.normal() * initial.scale;
    forEachElement(spec, (memory, torch) => {
      data[memory] = values[torch] ?? 0;
    });
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

  /** The state dict: torch names, shapes and element order. */
  toState(): Map<string, HostTensor> {
    const state = new Map<string, HostTensor>();
    for (const [name, { tensor, spec }] of this.entries) {
      const memory = tensor.f32;
      const data = new Float32Array(memory.length);
      forEachElement(spec, (from, to) => {
        data[to] = memory[from] ?? 0;
      });
      state.set(name, { dtype: "f32", shape: [...spec.torchShape], data });
    }
    return state;
  }

  /**
   * Copies a state dict into the tensors. Throws DataError when a shape differs; names that only one side has are
   * reported.
   */
  load(state: ReadonlyMap<string, HostTensor>): LoadReport {
    const report: LoadReport = { taken: [], missing: [], ignored: [] };
    for (const [name, { tensor, spec }] of this.entries) {
      const given = state.get(name);
      if (given === undefined) {
        report.missing.push(name);
        continue;
      }
      if (given.shape.join() !== spec.torchShape.join())
        throw new DataError(
          `weights ${this.name}: expected shape [${spec.torchShape.join(", ")}] for ${name}, received [${given.shape.join(", ")}]`,
        );
      const values = toFloat32(given);
      const memory = tensor.f32;
      forEachElement(spec, (to, from) => {
        memory[to] = values[from] ?? 0;
      });
      report.taken.push(name);
    }
    for (const name of state.keys()) if (!this.entries.has(name)) report.ignored.push(name);
    return report;
  }

  /** Frees all tensors. */
  dispose(): void {
    for (const { tensor } of this.entries.values()) tensor.dispose();
  }
}
