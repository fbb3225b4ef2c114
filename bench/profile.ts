/** Where the time of a run goes: its nodes summed by layer or by op, from what Program.explain() tells after each run. */
import { z } from "zod";
import type { Explanation } from "../src/graph/graph.js";

/**
 * What counts as one part of a run: `layers` - each shape of a convolution or matrix product in each direction, other
 * ops by name; `ops` - each op.
 */
export const profileKindSchema = z.enum(["layers", "ops"]);
export type ProfileKind = z.infer<typeof profileKindSchema>;

/** Nodes of one layer shape and direction, or of one op. Times are those of all its nodes in one run, seconds. */
export const partSchema = z.object({
  name: z.string(),
  /** Implementation of its nodes; several are joined by `+`. */
  kernel: z.string(),
  nodes: z.int().min(1),
  median_s: z.number().positive(),
  min_s: z.number().positive(),
  max_s: z.number().positive(),
  /** Null for ops without FLOPs of their own. */
  gflop: z.number().nullable(),
  bytes: z.number().min(0),
});
export type Part = z.infer<typeof partSchema>;

type ProfiledNode = Explanation["nodes"][number];

/** Gathers the seconds of nodes over several runs of one program. */
export class Profile {
  private readonly groups = new Map<string, { nodes: ProfiledNode[]; seconds: number[] }>();

  constructor(private readonly kind: ProfileKind) {}

  /** Takes the times of the last run. */
  add({ nodes }: Explanation): void {
    for (const group of this.groups.values()) group.nodes = [];
    for (const node of nodes) {
      if (node.kernel === null) continue; // a view does no work
      const name = this.kind === "layers" ? layerName(node) : node.op;
      const group = this.groups.get(name) ?? { nodes: [], seconds: [] };
      group.nodes.push(node);
      this.groups.set(name, group);
    }
    for (const group of this.groups.values()) group.seconds.push(sum(group.nodes, (node) => node.seconds));
  }

  /** The parts of a run, the longest first. */
  parts(): Part[] {
    const parts = [...this.groups].map(([name, { nodes, seconds }]): Part => {
      const flops = sum(nodes, (node) => node.flops);
      return {
        name,
        kernel: [...new Set(nodes.map(({ kernel }) => kernel))].join("+"),
        nodes: nodes.length,
        median_s: median(seconds),
        min_s: Math.min(...seconds),
        max_s: Math.max(...seconds),
        gflop: flops === 0 ? null : flops / 1e9,
        bytes: sum(nodes, (node) => node.bytes),
      };
    });
    return parts.sort((a, b) => b.median_s - a.median_s);
  }
}

/** The middle value, or the mean of the two in the middle; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return (at((sorted.length - 1) >> 1) + at(sorted.length >> 1)) / 2;
}

function sum(nodes: readonly ProfiledNode[], of: (node: ProfiledNode) => number): number {
  return nodes.reduce((total, node) => total + of(node), 0);
}

/** Layers whose weight is a matrix. */
const productNames: Record<string, string> = {
  linear: "product",
  strided_conv3d: "strided product",
  transposed_conv3d: "transposed product",
};

/** `3x3x3 16 to 32 at 56x56x40, input gradient`, extents in (x, y, z); the op's name where it is no such layer. */
function layerName({ op, inputs, outputs }: ProfiledNode): string {
  const [, layer, gradient] =
    /^((?:strided_|transposed_)?conv3d|linear)(?:_backward_(input|weight))?$/.exec(op) ?? [];
  if (layer === undefined) return op;
  const weight = extentsOf(gradient === "weight" ? outputs[0] : inputs[1]);
  const [channelsIn, channelsOut] = weight.slice(-2);
  const kind = weight.length === 5 ? weight.slice(0, 3).reverse().join("x") : productNames[layer];
  const volume = extentsOf(inputs[0]).slice(1, -1).reverse().join("x");
  const direction = gradient === undefined ? "forward" : `${gradient} gradient`;
  return `${kind} ${channelsIn} to ${channelsOut} at ${volume}, ${direction}`;
}

/** [2, 8, 3] of `f32[2, 8, 3]`. */
function extentsOf(type: string | null | undefined): number[] {
  return (type ?? "").replace(/^\w+/, "").match(/\d+/g)?.map(Number) ?? [];
}
