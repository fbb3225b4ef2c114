/** Lowerings of attention. No score matrix of all queries of a large grid is ever in the runtime's memory. */
import type { GraphNode } from "../graph/graph.js";
import { elementCount } from "../io/host-tensor.js";
import type { Lowerer, Lowering } from "./lowering.js";
import { inputOf, numberOf, shapeOf, type Weight, weightOf } from "./node-values.js";

export const attention: Lowering = (l, node) => {
  const [q, k, v] = [0, 1, 2].map((index) => l.last(inputOf(node, index)));
  const heads = numberOf(node, "heads");
  const depth = inputOf(node, 0).dim(-1) / heads;
  return { name: fusedAttention(l, [q ?? "", k ?? "", v ?? ""], heads, depth), form: "last" };
};

/**
 * Softmax over keys of q k / sqrt(depth), times v. ONNX Runtime's op works tile by tile.
 *
 * @param names of q, k [B, T, heads * any depth] and v [B, T, C]
 * @param depth of a head as the scale counts it
 * @returns name of [B, T, C]
 */
function fusedAttention(l: Lowerer, names: readonly string[], heads: number, depth: number): string {
  const attributes = { num_heads: { int: heads }, scale: { float: 1 / Math.sqrt(depth) } };
  return l.node("MultiHeadAttention", names, { attributes, domain: "com.microsoft" });
}

/** Groups of tokens that attend to each other, each on a grid [rows, columns] of its own. */
interface Groups {
  count: number;
  rows: number;
  columns: number;
  channels: number;
  heads: number;
}

/**
 * The relative position makes the score of a query at (y, x) and a key at (i, j) q k / sqrt(d) + h[i] + w[j], where h and
 * w are products of q with tables. On a whole grid they are added to the scores of few queries at a time. In a window it
 * is cheaper to take the score as a scalar product: of (q, h, w) with (k, sqrt(d) e_i, sqrt(d) e_j), e being unit
 * vectors, times 1 / sqrt(d); plain attention with deeper heads does that.
 */
export const gridAttention: Lowering = (l, node) => {
  const qkv = inputOf(node, 0);
  const shape = shapeOf(node);
  const [n = 1, height = 1, width = 1, channels = 1] = shape;
  const heads = numberOf(node, "heads");
  const window = numberOf(node, "window");
  if (window === 0) {
    const grid = { count: n, rows: height, columns: width, channels, heads };
    const result = attendedOnGrid(l, node, l.split(l.last(qkv), -1, 3), grid);
    return { name: l.reshape(result, shape), form: "last" };
  }
  const places = windowPlaces(height, width, window);
  const count = (n * places.length) / window ** 2;
  const groups = { count, rows: window, columns: window, channels, heads };
  const result = attended(l, node, windowParts(l, node, places), groups);
  const inOrder = places.flatMap((token, place) => (token < height * width ? [{ token, place }] : []));
  const back = inOrder.sort((a, b) => a.token - b.token).map(({ place }) => place);
  const tokens = gather(l, l.reshape(result, [n, places.length, channels]), back);
  return { name: l.reshape(tokens, shape), form: "last" };
};

/** q, k, v [N, rows, columns, C] -> [N, tokens, C], head by head and some rows of queries at a time. */
function attendedOnGrid(l: Lowerer, node: GraphNode, qkv: readonly string[], grid: Groups): string {
  const { count, rows, columns, channels, heads } = grid;
  const depth = channels / heads;
  const tokens = rows * columns;
  const orders = [
    [0, 2, 1, 3],
    [0, 2, 3, 1],
    [0, 2, 1, 3],
  ];
  const [q = "", k = "", v = ""] = orders.map((order, i) =>
    l.transpose(l.reshape(qkv[i] ?? "", [count, tokens, heads, depth]), order),
  );
  const scale = l.constant("scale", [], () => Float32Array.of(1 / Math.sqrt(depth)));
  const pieces = l.pieces(heads, heads * tokens ** 2);
  const byHead = [l.node("Mul", [q, scale]), ...gridTerms(l, node, q, grid), k, v].map((x) =>
    l.split(x, 1, pieces),
  );
  const results = Array.from({ length: pieces }, (_, i) => {
    const part = byHead.map((each) => each[i] ?? "");
    return attendedByRows(l, part, { ...grid, heads: heads / pieces });
  });
  return l.transpose(l.concat(results, 1), [0, 2, 1, 3]);
}

/** The products of q [N, heads, tokens, d] with the tables: [N, heads, tokens, rows, 1] and [.., 1, columns]. */
function gridTerms(l: Lowerer, node: GraphNode, q: string, grid: Groups): [string, string] {
  const { count, rows, columns, channels, heads } = grid;
  const tokens = rows * columns;
  const turn = [0, 1, 3, 2, 4];
  const byPlace = l.reshape(q, [count, heads, rows, columns, channels / heads]);
  const byRow = l.node("MatMul", [byPlace, tableByQuery(l, weightOf(node, 2), rows)]);
  const byColumn = l.node("MatMul", [
    l.transpose(byPlace, turn),
    tableByQuery(l, weightOf(node, 3), columns),
  ]);
  return [
    l.reshape(byRow, [count, heads, tokens, rows, 1]),
    l.reshape(l.transpose(byColumn, turn), [count, heads, tokens, 1, columns]),
  ];
}

/** Scaled q, its terms, k [N, heads, d, tokens] and v [N, heads, tokens, d] -> [N, heads, tokens, d]. */
function attendedByRows(
  l: Lowerer,
  [q = "", byRow = "", byColumn = "", k = "", v = ""]: readonly string[],
  { count, rows, columns, heads }: Groups,
): string {
  const tokens = rows * columns;
  const pieces = l.pieces(rows, heads * tokens ** 2);
  const queries = tokens / pieces;
  const [some, rowTerms, columnTerms] = [q, byRow, byColumn].map((x) => l.split(x, 2, pieces));
  const results = Array.from({ length: pieces }, (_, i) => {
    const product = l.reshape(l.node("MatMul", [some?.[i] ?? "", k]), [count, heads, queries, rows, columns]);
    const withRows = l.node("Add", [product, rowTerms?.[i] ?? ""]);
    const scores = l.node("Add", [withRows, columnTerms?.[i] ?? ""]);
    const flat = l.reshape(scores, [count, heads, queries, tokens]);
    return l.node("MatMul", [l.node("Softmax", [flat], { attributes: { axis: { int: -1 } } }), v]);
  });
  return l.concat(results, 2);
}

/** Tokens of a grid window after window; height * width stands for those beyond the bottom and right edge. */
function windowPlaces(height: number, width: number, window: number): number[] {
  const [down, across] = [Math.ceil(height / window), Math.ceil(width / window)];
  return Array.from({ length: down * across * window ** 2 }, (_, place) => {
    const [group, inside] = [Math.floor(place / window ** 2), place % window ** 2];
    const y = Math.floor(group / across) * window + Math.floor(inside / window);
    const x = (group % across) * window + (inside % window);
    return y < height && x < width ? y * width + x : height * width;
  });
}

/** q, k and v of tokens by their places: [N, places, C] each. */
function windowParts(l: Lowerer, node: GraphNode, places: readonly number[]): string[] {
  const qkv = inputOf(node, 0);
  const [n = 1, height = 1, width = 1, thrice = 3] = qkv.shape;
  const channels = thrice / 3;
  const inside = l.reshape(l.last(qkv), [n, 3 * height * width, channels]);
  const outside = l.node("Expand", [
    l.reshape(l.last(inputOf(node, 1)), [1, 3, channels]),
    l.shape([n, 3, channels]),
  ]);
  const rows = l.concat([inside, outside], 1);
  return [0, 1, 2].map((part) =>
    gather(
      l,
      rows,
      places.map((token) => 3 * token + part),
    ),
  );
}

/** Rows of x [N, T, C] in another order. */
const gather = (l: Lowerer, x: string, rows: readonly number[]): string =>
  l.node("Gather", [x, l.integers(rows)], { attributes: { axis: { int: 1 } } });

/** q, k, v with C channels for each token of each group -> [B, rows * columns, C]. */
function attended(l: Lowerer, node: GraphNode, qkv: readonly string[], groups: Groups): string {
  const { count, rows, columns, channels, heads } = groups;
  const depth = channels / heads;
  const tokens = rows * columns;
  const [q = "", k = "", v = ""] = qkv;
  const parts = [l.reshape(q, [count, tokens, heads, depth]), ...relativeTerms(l, node, q, groups)];
  const deep = [count, tokens, heads * (depth + rows + columns)];
  const query = l.reshape(l.concat(parts, 3), deep);
  const room = l.integers([0, 0, 0, 0, 0, 0, 0, rows + columns]);
  const key = l.node("Pad", [l.reshape(k, [count, tokens, heads, depth]), room]);
  const marked = l.reshape(l.node("Add", [key, unitVectors(l, rows, columns, depth)]), deep);
  return fusedAttention(l, [query, marked, l.reshape(v, [count, tokens, channels])], heads, depth);
}

/** The products of q [B, rows, columns, C] with the tables: [B, tokens, heads, rows] and [B, tokens, heads, columns]. */
function relativeTerms(l: Lowerer, node: GraphNode, q: string, groups: Groups): [string, string] {
  const { count, rows, columns, channels, heads } = groups;
  const depth = channels / heads;
  const tokens = rows * columns;
  const byRow = l.node("MatMul", [
    l.reshape(q, [count, rows, columns * heads, depth]),
    tableByQuery(l, weightOf(node, 2), rows),
  ]);
  const grid = l.reshape(q, [count, rows, columns, channels]);
  const turned = l.reshape(l.transpose(grid, [0, 2, 1, 3]), [count, columns, rows * heads, depth]);
  const byColumn = l.node("MatMul", [turned, tableByQuery(l, weightOf(node, 3), columns)]);
  const back = l.transpose(l.reshape(byColumn, [count, columns, rows, heads * columns]), [0, 2, 1, 3]);
  return [l.reshape(byRow, [count, tokens, heads, rows]), l.reshape(back, [count, tokens, heads, columns])];
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

/** sqrt(depth) at the place of each key's row and of its column, behind `depth` zeros: [1, tokens, 1, depth + rows + columns]. */
function unitVectors(l: Lowerer, rows: number, columns: number, depth: number): string {
  const width = depth + rows + columns;
  const shape = [1, rows * columns, 1, width];
  return l.constant(`places_${rows}x${columns}`, shape, () => {
    const values = new Float32Array(elementCount(shape));
    for (let token = 0; token < rows * columns; token++) {
      values[token * width + depth + Math.floor(token / columns)] = Math.sqrt(depth);
      values[token * width + depth + rows + (token % columns)] = Math.sqrt(depth);
    }
    return values;
  });
}
