import { SfrError, UsageError } from "../errors.js";
import type { GraphNode, Value } from "../graph/graph.js";
import { elementCount } from "../io/host-tensor.js";
import type { OnnxAttribute, OnnxConstant, OnnxNode, OnnxPort } from "./model.js";

/**
 * Order of a value's axes in the file: `last` as in our graph, [N, .., C]; `first` as ONNX's convolutions want it,
 * [N, C, ..].
 */
type Form = "last" | "first";

/** A value of the file. */
export interface Lowered {
  readonly name: string;
  readonly form: Form;
}

/** Writes one node of our graph as ONNX nodes; the result stands for the node's first output. */
export type Lowering = (l: Lowerer, node: GraphNode) => Lowered;

/** What a node of ONNX needs besides its inputs. */
interface NodeOptions {
  attributes?: Readonly<Record<string, OnnxAttribute>>;
  /** Count of outputs; default 1. */
  outputs?: number;
}

/**
 * The batch size that a graph for export is described with: a prime that no other extent of a network is a multiple of,
 * so that it is seen which extents follow the batch. Nothing of that size is ever computed.
 */
export const batchMark = 1009;

/** The name of the extent that is only known when the model runs. */
const batchName = "batch";

/**
 * Gathers the ONNX nodes of a graph. A node of ours is lowered when a value of it is asked for, in whatever form its
 * lowering gives; the other form is made at most once, and only when somebody asks for it. So a network of convolutions
 * is channels first from end to end without a transpose, and a transformer channels last.
 */
export class Lowerer {
  readonly nodes: OnnxNode[] = [];
  readonly constants: OnnxConstant[] = [];
  /** By the value's id: the form that its node gives, and the names of the forms that there are. */
  private readonly lowered = new Map<number, { natural: Lowered; other?: string }>();
  private readonly names = new Set<string>();
  private readonly integerLists = new Map<string, string>();
  private scope = "";
  private inputName = "";

  /** @param elementsAtATime most elements of one sample that a product gives at a time where it can be cut */
  constructor(
    private readonly table: Readonly<Record<string, Lowering>>,
    private readonly elementsAtATime: number,
  ) {}

  /** An input of the file, [N, C, ..], that stands for the graph's input `value` [N, .., C]. */
  input(value: Value, name: string, help: string): OnnxPort {
    this.names.add(name);
    this.inputName = name;
    this.lowered.set(value.id, { natural: { form: "first", name } });
    return { name, shape: portShape(value), help };
  }

  /** An output of the file, [N, C, ..], with the content of `value` [N, .., C]. */
  output(value: Value, name: string, help: string): OnnxPort {
    const given = this.first(value);
    this.names.add(name);
    this.nodes.push({ op: "Identity", name, inputs: [given], outputs: [name], attributes: {} });
    return { name, shape: portShape(value), help };
  }

  /** A value in the form in which its node gives it. */
  natural(value: Value): Lowered {
    return this.entry(value).natural;
  }

  /** Name of a value as [N, .., C]. */
  last(value: Value): string {
    return this.inForm(value, "last");
  }

  /** Name of a value as [N, C, ..]. */
  first(value: Value): string {
    return this.inForm(value, "first");
  }

  /** Name of a value in a form. */
  inForm(value: Value, form: Form): string {
    const entry = this.entry(value);
    if (form === entry.natural.form) return entry.natural.name;
    entry.other ??= this.withinScope(value, () => this.changed(entry.natural.name, value.shape, form));
    return entry.other;
  }

  /** The node that gives a value, if it is `op`. */
  producer(value: Value, op: string): GraphNode | undefined {
    const origin = value.graph.origin(value);
    return origin.kind === "node" && origin.node.op === op ? origin.node : undefined;
  }

  /** Adds a node. @returns name of its output */
  node(op: string, inputs: readonly string[], options: NodeOptions = {}): string {
    const [name = ""] = this.nodeOutputs(op, inputs, options);
    return name;
  }

  /** Adds a node. @returns names of its outputs */
  nodeOutputs(op: string, inputs: readonly string[], options: NodeOptions): string[] {
    const { attributes = {}, outputs: count = 1 } = options;
    const name = this.unused(`${this.scope}${op}`);
    const outputs = Array.from({ length: count }, (_, i) => (i === 0 ? name : `${name}.${i}`));
    this.nodes.push({ op, name, inputs, outputs, attributes });
    return outputs;
  }

  /** x in another shape; extents that follow the batch are left to the run. */
  reshape(x: string, shape: readonly number[]): string {
    return this.node("Reshape", [x, this.integers(shape.map((extent) => (isOfBatch(extent) ? -1 : extent)))]);
  }

  /** Into how many equal pieces an axis is cut, given how many elements are computed of all of it. */
  pieces(extent: number, elements: number): number {
    let pieces = Math.min(extent, Math.ceil(elements / this.elementsAtATime));
    while (extent % pieces !== 0) pieces++;
    return pieces;
  }

  /** x in pieces of equal size along an axis; one piece is x itself. */
  split(x: string, axis: number, pieces: number): string[] {
    if (pieces === 1) return [x];
    const attributes = { axis: { int: axis }, num_outputs: { int: pieces } };
    return this.nodeOutputs("Split", [x], { attributes, outputs: pieces });
  }

  concat(pieces: readonly string[], axis: number): string {
    const [only = "", ...others] = pieces;
    return others.length === 0 ? only : this.node("Concat", pieces, { attributes: { axis: { int: axis } } });
  }

  transpose(x: string, order: readonly number[]): string {
    return this.node("Transpose", [x], { attributes: { perm: { ints: order } } });
  }

  /** A constant list of whole numbers, such as a shape. */
  integers(values: readonly number[]): string {
    const key = values.join(",");
    const known = this.integerLists.get(key);
    if (known !== undefined) return known;
    const name = this.unused(`integers/${values.length > 8 ? values.length : values.join("_")}`);
    const make = () => new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.constants.push({
      name,
      dtype: "i64",
      shape: [values.length],
      data: { length: 8 * values.length, make },
    });
    this.integerLists.set(key, name);
    return name;
  }

  /** A constant f32 tensor whose values are made when it is written. */
  constant(name: string, shape: readonly number[], make: () => Float32Array): string {
    const unused = this.unused(name);
    const bytes = () => {
      const values = make();
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    };
    const data = { length: 4 * elementCount(shape), make: bytes };
    this.constants.push({ name: unused, dtype: "f32", shape, data });
    return unused;
  }

  /** A shape as a value of the file: extents that follow the batch are those of the run. */
  shape(extents: readonly number[]): string {
    if (!extents.some(isOfBatch)) return this.integers(extents);
    if (extents[0] !== batchMark || extents.slice(1).some(isOfBatch))
      throw new SfrError(
        "internal",
        `onnx: expected the batch as first axis, received [${extents.join(", ")}]`,
      );
    const batch = this.node("Shape", [this.inputName], {
      attributes: { start: { int: 0 }, end: { int: 1 } },
    });
    return this.node("Concat", [batch, this.integers(extents.slice(1))], {
      attributes: { axis: { int: 0 } },
    });
  }

  private entry(value: Value): { natural: Lowered; other?: string } {
    const known = this.lowered.get(value.id);
    if (known !== undefined) return known;
    const made = { natural: this.lower(value) };
    this.lowered.set(value.id, made);
    return made;
  }

  private lower(value: Value): Lowered {
    const origin = value.graph.origin(value);
    switch (origin.kind) {
      case "state":
        return { form: "last", name: this.constant(origin.name, value.shape, () => origin.tensor.f32) };
      case "node": {
        const lowering = this.table[origin.node.op];
        if (lowering === undefined || origin.node.outputs[0]?.id !== value.id)
          throw new UsageError(
            `onnx: expected ops among (${Object.keys(this.table).join(", ")}), received ${origin.node.op} at ` +
              `'${origin.node.name}'; add its lowering to src/onnx/lowerings.ts`,
          );
        return this.withinScope(value, () => lowering(this, origin.node));
      }
      default:
        throw new SfrError("internal", `onnx: expected a value of a forward pass, received a ${origin.kind}`);
    }
  }

  private withinScope<T>(value: Value, body: () => T): T {
    const origin = value.graph.origin(value);
    const before = this.scope;
    if (origin.kind === "node") this.scope = origin.node.name === "" ? "" : `${origin.node.name}/`;
    try {
      return body();
    } finally {
      this.scope = before;
    }
  }

  /** x of `shape` [N, .., C] in the other form. */
  private changed(x: string, shape: readonly number[], form: Form): string {
    const inner = shape.slice(1, -1);
    const [batch = 1, channels = 1] = [shape[0], shape.at(-1)];
    // Nothing moves in memory.
    if (channels === 1 || elementCount(inner) === 1)
      return this.reshape(x, form === "first" ? [batch, channels, ...inner] : shape);
    return this.transpose(x, form === "first" ? firstOrder(shape.length) : lastOrder(shape.length));
  }

  private unused(name: string): string {
    let unused = name;
    for (let i = 1; this.names.has(unused); i++) unused = `${name}_${i}`;
    this.names.add(unused);
    return unused;
  }
}

/** Whether an extent follows the batch. */
function isOfBatch(extent: number): boolean {
  return extent > 0 && extent % batchMark === 0;
}

/** Axes of [N, .., C] in the order [N, C, ..]. */
const firstOrder = (rank: number): number[] => [
  0,
  rank - 1,
  ...Array.from({ length: rank - 2 }, (_, i) => i + 1),
];
/** Axes of [N, C, ..] in the order [N, .., C]. */
const lastOrder = (rank: number): number[] => [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];

/** Shape in the file, [N, C, ..], of a value [N, .., C]. */
function portShape({ shape }: Value): (number | string)[] {
  return firstOrder(shape.length).map((axis) => {
    const extent = shape[axis] ?? 1;
    return isOfBatch(extent) ? batchName : extent;
  });
}

/** Place of an axis of [N, .., C] in a form. */
export function axisIn(form: Form, axis: number, rank: number): number {
  if (form === "last" || axis === 0) return axis;
  return axis === rank - 1 ? 1 : axis + 1;
}
