// Attention tile by tile: a block owns 16 queries (or, for the gradients of k and v, 16 keys) of one head of
// one window and walks over the other side in steps of 16, which lie in shared memory; thread (i, lane) has
// one score of a step and every 16th channel of its row's result. No score matrix in memory, sums in a fixed
// order. The oracle for what uses tensor cores.
#include "cuda/bf16.h"
#include "ops/attention/attention_cuda.h"

namespace sfr::cuda {

constexpr int kSide = 16, kMostDepth = 128, kOwn = kMostDepth / kSide;

using Tile = float[kSide][kMostDepth + 1];

/// One head of one window.
struct Place {
  int64_t pair, item, row, column, head;
};

SFR_DEVICE Place place_of(const AttentionArgs& a, int64_t pair) {
  const int64_t window = pair / a.heads;
  return {pair, window / a.across / a.down, window / a.across % a.down, window % a.across, pair % a.heads};
}

/// The token that is number i of the window; -1 beyond the grid or the window.
SFR_DEVICE int64_t token_at(const TokenGrid& grid, const Place& p, int64_t i) {
  const int64_t y = p.row * grid.rows + i / grid.columns, x = p.column * grid.columns + i % grid.columns;
  const bool is_there = i < grid.rows * grid.columns && y < grid.height && x < grid.width;
  return is_there ? (p.item * grid.height + y) * grid.width + x : -1;
}

/// Where the statistics [items, heads, height, width] of a query stand.
SFR_DEVICE int64_t statistic_at(const AttentionArgs& a, const Place& p, int64_t token) {
  return token + (p.item * (a.heads - 1) + p.head) * a.queries.height * a.queries.width;
}

/// Element e of query i of x (q, dout ..); 0 where there is none.
SFR_DEVICE float query_element(const AttentionArgs& a, const Place& p, const Elements& x, int64_t pitch,
                               int64_t i, int64_t e) {
  const int64_t token = x.data != nullptr ? token_at(a.queries, p, i) : -1;
  return token < 0 ? 0.0f : x[token * pitch + p.head * a.depth + e];
}

/// The same of key i of k or v, which beyond the grid is what pads it.
SFR_DEVICE float key_element(const AttentionArgs& a, const Place& p, const Elements& x, const float* padding,
                             int64_t i, int64_t e) {
  const int64_t token = token_at(a.keys, p, i), channel = p.head * a.depth + e;
  if (token >= 0) return x[token * a.pitch + channel];
  return padding != nullptr && i < a.keys.rows * a.keys.columns ? padding[channel] : 0.0f;
}

/// tile[i][e] = read(i, e)
template <class Read>
SFR_DEVICE void fill_tile(Tile& tile, int64_t depth, Read read) {
  for (int64_t i = threadIdx.x; i < kSide * depth; i += blockDim.x)
    tile[i / depth][i % depth] = read(i / depth, i % depth);
}

SFR_DEVICE void fill_queries(const AttentionArgs& a, const Place& p, int64_t first, Tile& q) {
  const float scale = sqrtf(static_cast<float>(a.depth));
  fill_tile(q, a.depth,
            [&](int64_t i, int64_t e) { return query_element(a, p, a.q, a.pitch, first + i, e) / scale; });
}

SFR_DEVICE void fill_gradients(const AttentionArgs& a, const Place& p, int64_t first, Tile& dout) {
  fill_tile(dout, a.depth,
            [&](int64_t i, int64_t e) { return query_element(a, p, a.dout, a.out_pitch, first + i, e); });
}

SFR_DEVICE void fill_keys(const AttentionArgs& a, const Place& p, int64_t first, Tile& k, Tile& v) {
  fill_tile(k, a.depth,
            [&](int64_t i, int64_t e) { return key_element(a, p, a.k, a.padding_k, first + i, e); });
  fill_tile(v, a.depth,
            [&](int64_t i, int64_t e) { return key_element(a, p, a.v, a.padding_v, first + i, e); });
}

template <class Row>
SFR_DEVICE float dot(const Row& x, const Row& y, int64_t depth) {
  float sum = 0;
  for (int64_t e = 0; e < depth; ++e) sum += x[e] * y[e];
  return sum;
}

/// Terms of query i in `relative` or `drelative`: for keys by their row, then by their column.
SFR_DEVICE int64_t relative_at(const AttentionArgs& a, const Place& p, int64_t i) {
  return (p.pair * a.queries.rows * a.queries.columns + i) * (a.keys.rows + a.keys.columns);
}

/// Score of query i and key j, rows of whose tiles are q and k.
SFR_DEVICE float score(const AttentionArgs& a, const Place& p, int64_t i, int64_t j, const float* q,
                       const float* k) {
  const float product = dot(q, k, a.depth);
  if (!a.is_relative) return product;
  const float* terms = a.relative + relative_at(a, p, i);
  return product + terms[j / a.keys.columns] + terms[a.keys.rows + j % a.keys.columns];
}

/// The same value in all 16 lanes of a row.
SFR_DEVICE float row_sum(float value) {
  for (int lanes = kSide / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}
SFR_DEVICE float row_max(float value) {
  for (int lanes = kSide / 2; lanes > 0; lanes /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lanes));
  return value;
}

/// own [channels lane, lane + 16 ..] = factor * own + sum over j of weights[j] * rows[j]
SFR_DEVICE void add_rows(float factor, const float* weights, const Tile& rows, int64_t depth, int lane,
                         float* own) {
  for (int r = 0; r < kOwn && lane + r * kSide < depth; ++r) {
    float sum = factor * own[r];
    for (int j = 0; j < kSide; ++j) sum += weights[j] * rows[j][lane + r * kSide];
    own[r] = sum;
  }
}

/// Row of a table for a query's and a key's place along an axis of `extent` keys.
SFR_DEVICE int64_t table_row(int64_t query, int64_t key, int64_t extent) {
  return query - key + extent - 1;
}

SFR_KERNEL(attention_relative, AttentionArgs) {
  const int64_t terms = args.keys.rows + args.keys.columns,
                queries = args.queries.rows * args.queries.columns;
  const int64_t pairs = args.items * args.down * args.across * args.heads;
  over_elements(pairs * queries * terms, [&](int64_t n) {
    const int64_t term = n % terms, i = n / terms % queries;
    const Place p = place_of(args, n / terms / queries);
    const bool is_row = term < args.keys.rows;
    const int64_t row = is_row
                            ? table_row(i / args.queries.columns, term, args.keys.rows)
                            : table_row(i % args.queries.columns, term - args.keys.rows, args.keys.columns);
    const float* table = (is_row ? args.rel_h : args.rel_w) + row * args.depth;
    float sum = 0;
    for (int64_t e = 0; e < args.depth; ++e)
      sum += query_element(args, p, args.q, args.pitch, i, e) * table[e];
    args.relative[n] = sum;
  });
}

SFR_KERNEL(attention_forward, AttentionArgs) {
  SFR_SHARED(float, q, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, k, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, v, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, weights, [kSide][kSide + 1]);
  const int row = static_cast<int>(threadIdx.x) / kSide, lane = static_cast<int>(threadIdx.x) % kSide;
  const Place p = place_of(args, blockIdx.y);
  const int64_t first_query = static_cast<int64_t>(blockIdx.x) * kSide, i = first_query + row;
  const int64_t token = token_at(args.queries, p, i), keys = args.keys.rows * args.keys.columns;
  float top = -INFINITY, total = 0, own[kOwn] = {};
  fill_queries(args, p, first_query, q);
  for (int64_t first = 0; first < keys; first += kSide) {
    __syncthreads();
    fill_keys(args, p, first, k, v);
    __syncthreads();
    const bool counts = token >= 0 && first + lane < keys;
    const float s = counts ? score(args, p, i, first + lane, q[row], k[lane]) : -INFINITY;
    const float higher = fmaxf(top, row_max(s)), keep = token >= 0 ? expf(top - higher) : 0.0f;
    const float weight = counts ? expf(s - higher) : 0.0f;
    total = keep * total + row_sum(weight);
    top = higher;
    weights[row][lane] = weight;
    __syncthreads();
    add_rows(keep, weights[row], v, args.depth, lane, own);
  }
  if (token < 0) return;
  const Results out = args.out + token * args.out_pitch + p.head * args.depth;
  for (int r = 0; r < kOwn && lane + r * kSide < args.depth; ++r) out[lane + r * kSide] = own[r] / total;
  if (lane == 0) args.logsumexp[statistic_at(args, p, token)] = top + logf(total);
}

SFR_KERNEL(attention_delta, AttentionArgs) {
  const int64_t tokens = args.queries.height * args.queries.width;
  over_elements(args.items * args.heads * tokens, [&](int64_t n) {
    const int64_t head = n / tokens % args.heads, token = n / tokens / args.heads * tokens + n % tokens;
    const int64_t first = token * args.out_pitch + head * args.depth;
    const float products =
        args.dout.data != nullptr ? dot(args.dout + first, args.result + first, args.depth) : 0.0f;
    args.delta[n] = args.dlogsumexp != nullptr ? products - args.dlogsumexp[n] : products;
  });
}

/// Weight of a key for a query, and the gradient of their score.
struct Weighted {
  float weight, gradient;
};

/// Of query i, which is `token`, and key j; all rows are those of the tiles.
SFR_DEVICE Weighted weighted(const AttentionArgs& a, const Place& p, int64_t token, int64_t i, int64_t j,
                             const float* q, const float* k, const float* dout, const float* v) {
  if (token < 0 || j >= a.keys.rows * a.keys.columns) return {0, 0};
  const int64_t statistic = statistic_at(a, p, token);
  const float weight = expf(score(a, p, i, j, q, k) - a.logsumexp[statistic]);
  return {weight, weight * (dot(dout, v, a.depth) - a.delta[statistic])};
}

/// Adds the gradients of a step's scores to the query's relative terms: lane 0 by row, lane 1 by column.
SFR_DEVICE void add_terms(const AttentionArgs& a, const Place& p, int64_t i, int64_t first, int lane,
                          const float* gradients) {
  const int64_t keys = a.keys.rows * a.keys.columns;
  float* terms = a.drelative + relative_at(a, p, i);
  for (int j = 0; lane < 2 && j < kSide && first + j < keys; ++j)
    terms[lane == 0 ? (first + j) / a.keys.columns : a.keys.rows + (first + j) % a.keys.columns] +=
        gradients[j];
}

/// Gradient of element e of query i through its relative terms.
SFR_DEVICE float through_terms(const AttentionArgs& a, const Place& p, int64_t i, int64_t e) {
  const float* terms = a.drelative + relative_at(a, p, i);
  float sum = 0;
  for (int64_t y = 0; y < a.keys.rows; ++y)
    sum += terms[y] * a.rel_h[table_row(i / a.queries.columns, y, a.keys.rows) * a.depth + e];
  for (int64_t x = 0; x < a.keys.columns; ++x)
    sum +=
        terms[a.keys.rows + x] * a.rel_w[table_row(i % a.queries.columns, x, a.keys.columns) * a.depth + e];
  return sum;
}

SFR_KERNEL(attention_backward_queries, AttentionArgs) {
  SFR_SHARED(float, q, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, dout, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, k, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, v, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, gradients, [kSide][kSide + 1]);
  const int row = static_cast<int>(threadIdx.x) / kSide, lane = static_cast<int>(threadIdx.x) % kSide;
  const Place p = place_of(args, blockIdx.y);
  const int64_t first_query = static_cast<int64_t>(blockIdx.x) * kSide, i = first_query + row;
  const int64_t token = token_at(args.queries, p, i), keys = args.keys.rows * args.keys.columns;
  const bool has_terms = args.is_relative && i < args.queries.rows * args.queries.columns;
  float own[kOwn] = {};
  if (has_terms && lane < 2)
    for (int64_t n = 0; n < (lane == 0 ? args.keys.rows : args.keys.columns); ++n)
      args.drelative[relative_at(args, p, i) + (lane == 0 ? n : args.keys.rows + n)] = 0;
  fill_queries(args, p, first_query, q);
  fill_gradients(args, p, first_query, dout);
  for (int64_t first = 0; first < keys; first += kSide) {
    __syncthreads();
    fill_keys(args, p, first, k, v);
    __syncthreads();
    gradients[row][lane] =
        weighted(args, p, token, i, first + lane, q[row], k[lane], dout[row], v[lane]).gradient;
    __syncthreads();
    add_rows(1, gradients[row], k, args.depth, lane, own);
    if (has_terms) add_terms(args, p, i, first, lane, gradients[row]);
  }
  __syncthreads();
  if (token < 0) return;
  const float scale = sqrtf(static_cast<float>(args.depth));
  const Results dq = args.dq + token * args.pitch + p.head * args.depth;
  for (int r = 0; r < kOwn && lane + r * kSide < args.depth; ++r) {
    const int64_t e = lane + r * kSide;
    dq[e] = own[r] / scale + (has_terms ? through_terms(args, p, i, e) : 0.0f);
  }
}

SFR_KERNEL(attention_backward_keys, AttentionArgs) {
  SFR_SHARED(float, q, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, dout, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, k, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, v, [kSide][kMostDepth + 1]);
  SFR_SHARED(float, weights, [kSide][kSide + 1]);
  SFR_SHARED(float, gradients, [kSide][kSide + 1]);
  const int row = static_cast<int>(threadIdx.x) / kSide, lane = static_cast<int>(threadIdx.x) % kSide;
  const Place p = place_of(args, blockIdx.y);
  const int64_t first_key = static_cast<int64_t>(blockIdx.x) * kSide, j = first_key + row;
  const int64_t queries = args.queries.rows * args.queries.columns, keys = args.keys.rows * args.keys.columns;
  float own_k[kOwn] = {}, own_v[kOwn] = {};
  fill_keys(args, p, first_key, k, v);
  for (int64_t first = 0; first < queries; first += kSide) {
    __syncthreads();
    fill_queries(args, p, first, q);
    fill_gradients(args, p, first, dout);
    __syncthreads();
    const Weighted w = weighted(args, p, token_at(args.queries, p, first + lane), first + lane, j, q[lane],
                                k[row], dout[lane], v[row]);
    weights[row][lane] = w.weight;
    gradients[row][lane] = w.gradient;
    __syncthreads();
    add_rows(1, gradients[row], q, args.depth, lane, own_k);
    add_rows(1, weights[row], dout, args.depth, lane, own_v);
  }
  const int64_t token = token_at(args.keys, p, j);
  if (j >= keys || (token < 0 && args.dpadded == nullptr)) return;
  const int64_t at = token * args.pitch + p.head * args.depth;
  const Results beyond = Results{args.dpadded} + (p.pair * keys + j) * 2 * args.depth;
  const Results dk = token < 0 ? beyond : args.dk + at, dv = token < 0 ? beyond + args.depth : args.dv + at;
  for (int r = 0; r < kOwn && lane + r * kSide < args.depth; ++r) {
    dk[lane + r * kSide] = own_k[r];
    dv[lane + r * kSide] = own_v[r];
  }
}

/// dpadding [3][heads][depth]: that of q is 0, those of k and v are summed over the keys beyond the grid.
SFR_KERNEL(attention_backward_padding, AttentionArgs) {
  const int64_t channels = args.heads * args.depth, keys = args.keys.rows * args.keys.columns;
  over_elements(3 * channels, [&](int64_t n) {
    const int64_t part = n / channels, head = n % channels / args.depth;
    double sum = 0;
    for (int64_t window = 0; part > 0 && window < args.items * args.down * args.across; ++window) {
      const Place p = place_of(args, window * args.heads + head);
      for (int64_t j = 0; j < keys; ++j)
        if (token_at(args.keys, p, j) < 0)
          sum += static_cast<double>(
              args.dpadded[((p.pair * keys + j) * 2 + part - 1) * args.depth + n % args.depth]);
    }
    args.dpadding[n] = static_cast<float>(sum);
  });
}

/// drel_h [2 rows - 1][depth], then drel_w: each row over all queries that have a key so far from them.
SFR_KERNEL(attention_backward_tables, AttentionArgs) {
  const int64_t rows = args.keys.rows, columns = args.keys.columns, queries = rows * columns;
  const int64_t pairs = args.items * args.down * args.across * args.heads;
  over_elements(2 * (rows + columns - 1) * args.depth, [&](int64_t n) {
    const int64_t e = n % args.depth, line = n / args.depth;
    const bool is_row = line < 2 * rows - 1;
    const int64_t extent = is_row ? rows : columns, distance = is_row ? line : line - (2 * rows - 1);
    double sum = 0;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const Place p = place_of(args, pair);
      for (int64_t i = 0; i < queries; ++i) {
        const int64_t key = (is_row ? i / columns : i % columns) + extent - 1 - distance;
        if (key < 0 || key >= extent || token_at(args.queries, p, i) < 0) continue;
        const float term = args.drelative[relative_at(args, p, i) + (is_row ? key : rows + key)];
        sum +=
            static_cast<double>(term) * static_cast<double>(query_element(args, p, args.q, args.pitch, i, e));
      }
    }
    (is_row ? args.drel_h : args.drel_w)[distance * args.depth + e] = static_cast<float>(sum);
  });
}

}  // namespace sfr::cuda
