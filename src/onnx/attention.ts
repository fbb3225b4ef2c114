/**
 * Lowerings of attention, in ONNX's own ops. No score matrix of all queries of a large grid is ever in the runtime's
 * memory: scores are made, added to and reduced piece by piece, so that a piece stays in the caches between its ops.
 */
import type { GraphNode } from "../graph/graph.js";
import { elementCount } from "../io/host-tensor.js";
import type { Lowerer, Lowering } from "./lowering.js";
import { inputOf, numberOf, shapeOf, type Weight, weightOf } from "./node-values.js";

/** Axes of [B, tokens, heads, d] in the order [B, heads, tokens, d], and the other way round. */
const headsAndTokens = [0, 2, 1, 3];

export const attention: Lowering = (l, node) => {
  const heads = numberOf(node, "heads");
  const [q = "", k = "", v = ""] = [0, 1, 2].map((index) => {
    const x = inputOf(node, index);
    const [batch = 1, tokens = 1, channels = 1] = x.shape;
    return l.transpose(l.reshape(l.last(x), [batch, tokens, heads, channels / heads]), headsAndTokens);
  });
  const depth = inputOf(node, 0).dim(-1) / heads;
  const result = weighted(l, l.node("MatMul", [scaled(l, q, depth), turned(l, k)]), v);
  return { name: l.reshape(l.transpose(result, headsAndTokens), shapeOf(node)), form: "last" };
};

/** q / sqrt(depth). */
const scaled = (l: Lowerer, q: string, depth: number): string =>
  l.node("Mul", [q, l.constant("scale", [], () => Float32Array.of(1 / Math.sqrt(depth)))]);

/** k [B, heads, tokens, d] as the right side of q k: [B, heads, d, tokens]. */
const turned = (l: Lowerer, k: string): string => l.transpose(k, [0, 1, 3, 2]);

/** The mean of v [B, heads, keys, d] for each query, weighted by the softmax of its scores [B, heads, queries, keys]. */
const weighted = (l: Lowerer, scores: string, v: string): string =>
  l.node("MatMul", [l.node("Softmax", [scores], { attributes: { axis: { int: -1 } } }), v]);

/** Groups of tokens that attend to each other, each on a grid [rows, columns] of its own. */
interface Groups {
  /** Of all samples, and of each. */
  readonly count: number;
  readonly perSample: number;
  readonly rows: number;
  readonly columns: number;
  readonly heads: number;
  /** Channels of a head. */
  readonly depth: number;
}

/** Names of what relates queries to keys by their rows and by their columns: [query, d, key]. */
type Tables = readonly [string, string];

/**
 * Attention with relative position, in windows or, as one window, on the whole grid: some heads at a time, whose q, k and
 * v are gathered window after window, those of padded tokens from behind the others; and the results back in one go.
 */
export const gridAttention: Lowering = (l, node) => {
  const shape = shapeOf(node);
  const [n = 1, height = 1, width = 1, channels = 1] = shape;
  const [heads, window] = [numberOf(node, "heads"), numberOf(node, "window")];
  const [rows, columns] = window === 0 ? [height, width] : [window, window];
  const tokens = rows * columns;
  const depth = channels / heads;
  const places = windowPlaces([height, width], [rows, columns]);
  const perSample = places.length / tokens;
  const pieces = l.pieces(heads, heads * places.length * tokens);
  const groups = { count: n * perSample, perSample, rows, columns, heads: heads / pieces, depth };
  const all = headRows(l, node, heads);
  const tables = [
    tableByQuery(l, weightOf(node, 2), rows),
    tableByQuery(l, weightOf(node, 3), columns),
  ] as const;
  const results = Array.from({ length: pieces }, (_, piece) => {
    const parts = [0, 1, 2].map((part) => {
      const order = Array.from({ length: places.length * groups.heads }, (_, i) => {
        const [place, group] = [i % tokens, Math.floor(i / tokens)];
        const token = places[Math.floor(group / groups.heads) * tokens + place] ?? 0;
        return (3 * token + part) * heads + piece * groups.heads + (group % groups.heads);
      });
      return l.reshape(gather(l, all, order), [groups.count, groups.heads, tokens, depth]);
    });
    return attended(l, parts, tables, groups);
  });
  const back = new Array<number>(height * width * heads);
  for (const [place, token] of places.entries())
    for (let head = 0; token < height * width && head < heads; head++)
      back[token * heads + head] = (Math.floor(place / tokens) * heads + head) * tokens + (place % tokens);
  const result = l.reshape(l.concat(results, 1), [n, places.length * heads, depth]);
  return { name: l.reshape(gather(l, result, back), shape), form: "last" };
};

/** q, k and v of each head of each token, and behind them those of a padded token: [N, (tokens + 1) * 3 * heads, d]. */
function headRows(l: Lowerer, node: GraphNode, heads: number): string {
  const [n = 1, height = 1, width = 1, channels = 1] = shapeOf(node);
  const depth = channels / heads;
  const inside = l.reshape(l.last(inputOf(node, 0)), [n, height * width * 3 * heads, depth]);
  if (numberOf(node, "window") === 0) return inside;
  const outside = l.reshape(l.last(inputOf(node, 1)), [1, 3 * heads, depth]);
  return l.concat([inside, l.node("Expand", [outside, l.shape([n, 3 * heads, depth])])], 1);
}

/** Rows of x [N, T, C] in another order. */
const gather = (l: Lowerer, x: string, rows: readonly number[]): string =>
  l.node("Gather", [x, l.integers(rows)], { attributes: { axis: { int: 1 } } });

/**
 * q, k, v [groups, heads, tokens, d] -> the same, some rows of queries at a time.
 *
 * The relative position makes the score of a query at (y, x) and a key at (i, j) q k / sqrt(d) + h[i] + w[j], where h and
 * w are products of q with tables.
 */
function attended(
  l: Lowerer,
  [q = "", k = "", v = ""]: readonly string[],
  tables: Tables,
  groups: Groups,
): string {
  const { count, perSample, rows, columns, heads } = groups;
  const tokens = rows * columns;
  const pieces = l.pieces(rows, perSample * heads * tokens ** 2);
  const keys = turned(l, k);
  const [some = [], byRow = [], byColumn = []] = [
    scaled(l, q, groups.depth),
    ...gridTerms(l, q, tables, groups),
  ].map((x) => l.split(x, 2, pieces));
  const results = some.map((queries, i) => {
    const terms = l.node("Add", [byRow[i] ?? "", byColumn[i] ?? ""]);
    const flat = l.reshape(terms, [count, heads, tokens / pieces, tokens]);
    return weighted(l, l.node("Add", [l.node("MatMul", [queries, keys]), flat]), v);
  });
  return l.concat(results, 2);
}

/** The products of q [groups, heads, tokens, d] with the tables: [groups, heads, tokens, rows, 1] and [.., 1, columns]. */
function gridTerms(l: Lowerer, q: string, [byY, byX]: Tables, groups: Groups): [string, string] {
  const { count, rows, columns, heads, depth } = groups;
  const tokens = rows * columns;
  const turn = [0, 1, 3, 2, 4];
  const byPlace = l.reshape(q, [count, heads, rows, columns, depth]);
  const byRow = l.node("MatMul", [byPlace, byY]);
  const byColumn = l.node("MatMul", [l.transpose(byPlace, turn), byX]);
  return [
    l.reshape(byRow, [count, heads, tokens, rows, 1]),
    l.reshape(l.transpose(byColumn, turn), [count, heads, tokens, 1, columns]),
  ];
}

/** Tokens of a grid window after window; height * width stands for those beyond the bottom and right edge. */
function windowPlaces(
  [height, width]: readonly [number, number],
  [rows, columns]: readonly [number, number],
): number[] {
  const across = Math.ceil(width / columns);
  const windows = Math.ceil(height / rows) * across;
  return Array.from({ length: windows * rows * columns }, (_, place) => {
    const [group, inside] = [Math.floor(place / (rows * columns)), place % (rows * columns)];
    const y = Math.floor(group / across) * rows + Math.floor(inside / columns);
    const x = (group % across) * columns + (inside % columns);
    return y < height && x < width ? y * width + x : height * width;
  });
}

/** The row of a table [2 G - 1, d] that belongs to a query's and a key's place on one axis: [query, d, key]. */
function tableByQuery(l: Lowerer, table: Weight, extent: number): string {
  const [, depth = 0] = table.shape;
  const shape = [extent, depth, extent];
  return l.constant(table.name, shape, () => {
    const rows = table.values();
    const values = new Float32Array(elementCount(shape));
    for (let i = 0; i < values.length; i++) {
      const [key, channel, query] = [
        i % extent,
        Math.floor(i / extent) % depth,
        Math.floor(i / extent / depth),
      ];
      values[i] = rows[(query - key + extent - 1) * depth + channel] ?? 0;
    }
    return values;
  });
}
