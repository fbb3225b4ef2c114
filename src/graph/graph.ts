import { CancelledError, UsageError } from "../errors.js";
import {
  type Attribute,
  type CompileOptions,
  callNative,
  type Dtype,
  engineInfo,
  type NativeProgram,
  native,
  typedError,
} from "../native/native.js";
import { Tensor } from "../native/tensor.js";

/** A value of a graph under construction: its type is known, its content is not. */
export class Value {
  constructor(
    readonly graph: Graph,
    /** @internal */
    readonly id: number,
    readonly dtype: Dtype,
    /** Outermost axis first. */
    readonly shape: readonly number[],
  ) {}

  /** Extent of an axis; negative axes count from the end. */
  dim(axis: number): number {
    const extent = this.shape.at(axis);
    if (extent === undefined)
      throw new UsageError(`graph: expected an axis of [${this.shape.join(", ")}], received ${axis}`);
    return extent;
  }
}

/** A node as it was added. */
export interface GraphNode {
  readonly op: string;
  /** Path of the scope it was built in, and its own name if it has one. */
  readonly name: string;
  /** `undefined` stands for an absent optional input. */
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly outputs: readonly Value[];
}

/** Where a value comes from. */
export type Origin =
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "state"; readonly name: string; readonly tensor: Tensor }
  | { readonly kind: "node"; readonly node: GraphNode }
  | { readonly kind: "gradient" };

/** Tensors of one run, by input name. Numbers stand for f32 scalars. */
export type RunInputs = Readonly<Record<string, Tensor | number>>;

/**
 * Describes a computation: inputs, persistent tensors (parameters and other state) and nodes. Shapes are
 * inferred as nodes are added, so an error's stack points at the line that built the node.
 */
export class Graph {
  private readonly native = callNative(() => new native.Graph());
  private readonly inputs = new Map<string, Value>();
  /** By the value's id. */
  private readonly origins = new Map<number, Origin>();
  private readonly scope: string[] = [];

  /** A value that is given anew for each run. Throws UsageError when the name is taken. */
  input(name: string, dtype: Dtype, shape: readonly number[]): Value {
    const id = callNative(() => this.native.addInput(name, dtype, shape));
    const value = new Value(this, id, dtype, shape);
    this.inputs.set(name, value);
    this.origins.set(id, { kind: "input", name });
    return value;
  }

  /** State that lives in `tensor` across runs. The same tensor always gives the same value. */
  persistent(tensor: Tensor, name: string): Value {
    const id = callNative(() => this.native.addPersistent(tensor.handle, name));
    this.origins.set(id, { kind: "state", name, tensor });
    return new Value(this, id, tensor.dtype, tensor.shape);
  }

  /** Names built inside `body` start with `name/`. */
  within<T>(name: string, body: () => T): T {
    this.scope.push(name);
    try {
      return body();
    } finally {
      this.scope.pop();
    }
  }

  /** Path of the current scope joined with `name`: the stable name of a node or a random stream. */
  path(name: string): string {
    return [...this.scope, name].filter((part) => part !== "").join("/");
  }

  /**
   * Adds a node; `undefined` stands for an absent optional input. Use the builders of ops/.
   * Throws ShapeError, DtypeError or UsageError naming the op and the node.
   */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>> = {},
    name = "",
  ): Value[] {
    for (const input of inputs)
      if (input !== undefined && input.graph !== this)
        throw new UsageError(`graph: expected values of one graph for ${op}, received one of another graph`);
    const ids = inputs.map((input) => input?.id ?? -1);
    const path = this.path(name);
    const outputs = callNative(() => this.native.addNode(op, ids, attributes, path)).map((id) =>
      this.wrap(id),
    );
    const node = { op, name: path, inputs, attributes, outputs };
    for (const { id } of outputs) this.origins.set(id, { kind: "node", node });
    return outputs;
  }

  /** The input, state or node that gives a value of this graph. */
  origin(value: Value): Origin {
    return this.origins.get(value.id) ?? { kind: "gradient" };
  }

  /**
   * d loss / d value for each of `values`, as values that can be used further on. `loss` is an f32 scalar.
   * Throws UsageError when the loss does not depend on one of them.
   */
  gradients(loss: Value, values: readonly Value[]): Value[] {
    return callNative(() =>
      this.native.gradients(
        loss.id,
        values.map((value) => value.id),
      ),
    ).map((id) => this.wrap(id));
  }

  /**
   * Compiles what `outputs` and state updates need. `fuse: false` runs every node as it was built; `guards`
   * checks a pattern behind every buffer after every node (for tests). `keepBf16` lets values of the forward pass wait
   * for the backward pass as bf16 where memory is fullest. `onDevice` runs it where configureEngine() said; where that is
   * a device, `bf16Activations` stores activations as bf16, in the place of `keepBf16`. Where the program would not fit
   * the engine's memory limit, values are computed again rather than kept until it does or nothing more can be saved.
   */
  compile<Names extends string>(
    outputs: Readonly<Record<Names, Value>>,
    options: CompileOptions = {},
  ): Program<Names> {
    const names = Object.keys(outputs) as Names[];
    const ids = names.map((name) => outputs[name].id);
    const program = callNative(() => this.native.compile(ids, options));
    return new Program(program, names, this.inputs);
  }

  private wrap(id: number): Value {
    const { dtype, shape } = callNative(() => this.native.type(id));
    return new Value(this, id, dtype, shape);
  }
}

/** What explain() tells of a compiled graph. */
export interface Explanation {
  nodes: {
    op: string;
    name: string;
    /** Chosen implementation; null for views, which do no work. */
    kernel: string | null;
    /** Implementations that refused the node, with reasons. */
    refused: string;
    /** Types such as `f32[2, 8, 3]`; null where an optional input is absent. */
    inputs: (string | null)[];
    outputs: string[];
    /** Operations of the direct algorithm; 0 for what is bound by memory. */
    flops: number;
    /** Bytes read and written, each tensor once, state that the node updates twice; 0 for views. */
    bytes: number;
    /** Time the node took in the last run; 0 before the first. */
    seconds: number;
  }[];
  /** What the program runs on: cpu, or such as `cuda:0 NVIDIA H200`; arena and work memory lie there. */
  device: string;
  arenaBytes: number;
  workBytes: number;
  outputBytes: number;
  persistentBytes: number;
  /** All memory of the program while it runs. */
  peakBytes: number;
  flops: number;
  /** Sum of the nodes' bytes: what a run moves at least when nothing stays in a cache between two nodes. */
  bytesMoved: number;
}

/** A compiled graph. One run at a time; runs of different programs take turns on the engine's threads. */
export class Program<Names extends string = string> implements Disposable, AsyncDisposable {
  /** Results of the last run; overwritten by the next. */
  readonly outputs: Readonly<Record<Names, Tensor>>;
  private readonly scalars = new Map<string, Tensor>();
  private running: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(
    private readonly program: NativeProgram,
    names: readonly Names[],
    private readonly inputs: ReadonlyMap<string, Value>,
  ) {
    const tensors = callNative(() => program.outputs()).map((handle) => Tensor.adopt(handle));
    this.outputs = Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as Record<Names, Tensor>;
  }

  /**
   * Runs one step off the main thread and returns the outputs. An aborted `signal` stops it with CancelledError;
   * the state is then that of the last whole step. Throws UsageError for an unknown or missing input name,
   * ShapeError or DtypeError for a tensor that does not fit.
   */
  async run(inputs: RunInputs = {}, signal?: AbortSignal): Promise<Readonly<Record<Names, Tensor>>> {
    const ids: number[] = [];
    const tensors: Tensor[] = [];
    for (const [name, given] of Object.entries(inputs)) {
      const value = this.inputs.get(name);
      if (value === undefined)
        throw new UsageError(
          `run: expected an input among (${[...this.inputs.keys()].join(", ")}), received ${name}`,
        );
      ids.push(value.id);
      tensors.push(typeof given === "number" ? this.scalar(name, given) : given);
    }
    if (signal?.aborted) throw new CancelledError("run: stopped on request before it started");
    const cancel = () => this.program.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const run = this.program.run(
        ids,
        tensors.map((tensor) => tensor.handle),
      );
      this.running = run.catch(() => {});
      await run;
    } catch (error) {
      throw typedError(error);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    return this.outputs;
  }

  /** Nodes with the chosen kernels, refused ones with the reason, FLOPs, bytes, seconds of the last run; bytes at the peak. */
  explain(): Explanation {
    return JSON.parse(callNative(() => this.program.explain())) as Explanation;
  }

  /** Memory that the first run takes in addition to what the process holds now, bytes; not that of a device. */
  get addedBytes(): number {
    const { device, arenaBytes, workBytes } = this.explain();
    return device === "cpu" ? Math.max(0, arenaBytes + workBytes - engineInfo().arenaBytes) : 0;
  }

  /** Frees the program and its outputs; a run in flight is cancelled. */
  dispose(): void {
    this.program.dispose();
    for (const output of Object.values<Tensor>(this.outputs)) output.dispose();
    for (const scalar of this.scalars.values()) scalar.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Cancels a run in flight, waits for it, then frees. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.program.cancel();
    await this.running;
    this.dispose();
  }

  private scalar(name: string, value: number): Tensor {
    let tensor = this.scalars.get(name);
    if (tensor === undefined) {
      tensor = Tensor.scalar(value);
      this.scalars.set(name, tensor);
    }
    tensor.f32[0] = value;
    return tensor;
  }
}
