// One head of one window at a time is gathered from the grid into a thread's memory (50 KB per tensor with 14
// x 14 tokens of 64 channels: cache), where the kernels of `attention` work, and scattered back.
#include <algorithm>
#include <cstring>

#include "core/chunks.h"
#include "ops/attention/attention_cpu.h"
#include "ops/grid_attention/grid_attention.h"

namespace sfr {

namespace {

struct Windows {
  int64_t items, height, width, channels, heads, rows, columns;  // rows, columns: of a window
  int64_t depth() const { return channels / heads; }
  int64_t down() const { return (height + rows - 1) / rows; }
  int64_t across() const { return (width + columns - 1) / columns; }
  int64_t tokens() const { return rows * columns; }
  int64_t pairs() const { return items * down() * across() * heads; }
  bool whole_grid() const { return rows == height && columns == width; }
};

Windows windows_of(const Shape& qkv, int64_t heads, int64_t window) {
  return {
      qkv[0], qkv[1], qkv[2], qkv[3] / 3, heads, window > 0 ? window : qkv[1], window > 0 ? window : qkv[2]};
}

/// Sizes for a window whose rows lie `pitch` and `out_pitch` apart.
AttentionSizes sizes_of(const Windows& w, int64_t pitch, int64_t out_pitch) {
  return {w.tokens(), w.tokens(), w.depth(), pitch, out_pitch, pitch, w.columns, w.rows, w.columns};
}

/// All heads of all items, when the window is the whole grid.
AttentionBatch batch_of(const Windows& w) {
  AttentionBatch batch{};
  batch.first.sizes = sizes_of(w, 3 * w.channels, w.channels);
  batch.items = w.items;
  batch.heads = w.heads;
  return batch;
}

AttentionBatch batch_of(const KernelContext& c, const Windows& w) {
  AttentionBatch batch = batch_of(w);
  batch.first.q = c.in<float>(0);
  batch.first.k = batch.first.q + w.channels;
  batch.first.v = batch.first.k + w.channels;
  batch.first.rel_h = c.in<float>(2);
  batch.first.rel_w = c.in<float>(3);
  return batch;
}

/// One head of one window.
struct Place {
  int64_t token, channel;  // the window's first token, the head's first channel
  int64_t rows, columns;   // of the window that lie on the grid
  int64_t statistics;      // index of its first token in [N, heads, H, W]
};

Place place_of(const Windows& w, int64_t pair) {
  const int64_t window = pair / w.heads, column = window % w.across(), row = window / w.across() % w.down();
  const int64_t item = window / w.across() / w.down(), y = row * w.rows, x = column * w.columns;
  const int64_t head = pair % w.heads, first = y * w.width + x;
  return {item * w.height * w.width + first, head * w.depth(), std::min(w.rows, w.height - y),
          std::min(w.columns, w.width - x), (item * w.heads + head) * w.height * w.width + first};
}

void copy(float* to, const float* from, int64_t floats) {
  std::memcpy(to, from, static_cast<size_t>(floats) * sizeof(float));
}

/// grid [..][pitch] at the place's first token -> tokens [rows][line][depth], those on the grid only.
void gather(const Windows& w, const Place& p, const float* grid, int64_t pitch, int64_t line, float* tokens) {
  for (int64_t y = 0; y < p.rows; ++y)
    for (int64_t x = 0; x < p.columns; ++x)
      copy(tokens + (y * line + x) * w.depth(), grid + (y * w.width + x) * pitch, w.depth());
}

/// The inverse.
void scatter(const Windows& w, const Place& p, const float* tokens, int64_t line, int64_t pitch,
             float* grid) {
  for (int64_t y = 0; y < p.rows; ++y)
    for (int64_t x = 0; x < p.columns; ++x)
      copy(grid + (y * w.width + x) * pitch, tokens + (y * line + x) * w.depth(), w.depth());
}

/// Calls body(token) for each token of the window that lies beyond the grid.
template <class F>
void over_padding(const Windows& w, const Place& p, F body) {
  for (int64_t y = 0; y < w.rows; ++y)
    for (int64_t x = y < p.rows ? p.columns : 0; x < w.columns; ++x) body(y * w.columns + x);
}

/// Keys or values of a window, `first` being the channel of the head in qkv.
void gather_keys(const KernelContext& c, const Windows& w, const Place& p, int64_t first, float* tokens) {
  gather(w, p, c.in<float>(0) + p.token * 3 * w.channels + first, 3 * w.channels, w.columns, tokens);
  over_padding(w, p,
               [&](int64_t token) { copy(tokens + token * w.depth(), c.in<float>(1) + first, w.depth()); });
}

/// Statistics [heads][H][W] of the queries of one head of one window -> [rows][columns], or back.
void gather_statistics(const Windows& w, const Place& p, const float* grid, float* queries) {
  for (int64_t y = 0; y < p.rows; ++y)
    copy(queries + y * p.columns, grid + p.statistics + y * w.width, p.columns);
}
void scatter_statistics(const Windows& w, const Place& p, const float* queries, float* grid) {
  for (int64_t y = 0; y < p.rows; ++y)
    copy(grid + p.statistics + y * w.width, queries + y * p.columns, p.columns);
}

/// A thread's memory: the tensors of one head of one window, then what the kernel wants.
struct WindowMemory {
  float *q, *k, *v, *out, *logsumexp, *dout, *dlogsumexp, *dq, *dk, *dv, *kernel;
};

int64_t rounded(int64_t floats) {
  return (floats + 15) / 16 * 16;
}

/// Returns the floats before the kernel's; with base null it only counts.
int64_t lay_out(const Windows& w, float* base, WindowMemory& m) {
  const int64_t tokens = rounded(w.tokens() * w.depth()), statistics = rounded(w.tokens());
  int64_t used = 0;
  const auto take = [&](float*& p, int64_t floats) {
    p = base ? base + used : nullptr;
    used += floats;
  };
  for (float** p : {&m.q, &m.k, &m.v, &m.out, &m.dout, &m.dq, &m.dk, &m.dv}) take(*p, tokens);
  for (float** p : {&m.logsumexp, &m.dlogsumexp}) take(*p, statistics);
  take(m.kernel, 0);
  return used;
}

/// Gathers q, k and v. Queries are the window's tokens on the grid, keys all of them.
AttentionHead head_in_memory(const KernelContext& c, const Windows& w, const Place& p,
                             const WindowMemory& m) {
  AttentionHead head{};
  head.sizes = sizes_of(w, w.depth(), w.depth());
  head.sizes.queries = p.rows * p.columns;
  head.sizes.query_columns = p.columns;
  head.q = m.q;
  head.k = m.k;
  head.v = m.v;
  head.rel_h = c.in<float>(2);
  head.rel_w = c.in<float>(3);
  head.out = m.out;
  head.logsumexp = m.logsumexp;
  const float* q = c.in<float>(0) + p.token * 3 * w.channels + p.channel;
  gather(w, p, q, 3 * w.channels, p.columns, m.q);
  gather_keys(c, w, p, w.channels + p.channel, m.k);
  gather_keys(c, w, p, 2 * w.channels + p.channel, m.v);
  return head;
}

// ---- forward

int64_t forward_floats(const Windows& w) {
  WindowMemory m;
  return lay_out(w, nullptr, m) + SFR_DISPATCH(attention_work_floats)(sizes_of(w, w.depth(), w.depth()));
}

void forward_windows(const KernelContext& c, const Windows& w) {
  const auto pack = SFR_DISPATCH(attention_pack);
  const auto forward = SFR_DISPATCH(attention_forward);
  const int64_t floats = rounded(forward_floats(w));
  AttentionBlocks blocks;
  SFR_DISPATCH(attention_blocks)(&blocks);
  c.pool->parallel_for(w.pairs(), [&](int64_t pair, int thread) {
    const Place p = place_of(w, pair);
    WindowMemory m;
    lay_out(w, static_cast<float*>(c.work) + thread * floats, m);
    const AttentionHead head = head_in_memory(c, w, p, m);
    pack(head, m.kernel);
    for (int64_t begin = 0; begin < head.sizes.queries; begin += blocks.queries)
      forward(head, begin, std::min(head.sizes.queries, begin + blocks.queries), m.kernel);
    scatter(w, p, m.out, p.columns, w.channels, c.out<float>(0) + p.token * w.channels + p.channel);
    scatter_statistics(w, p, m.logsumexp, c.out<float>(1));
  });
}

// ---- backward

/// Pairs are cut into chunks, each with its own sums of the gradients of the tables and of the padding's k
/// and v [2 C], in double.
struct BackwardPlan {
  int64_t chunks, table_sums, padding_sums, thread_floats;
  int64_t shared_floats() const { return rounded(2 * chunks * (table_sums + padding_sums)); }
};

BackwardPlan backward_plan(const Windows& w, bool parameters) {
  const AttentionSizes s = sizes_of(w, w.depth(), w.depth());
  WindowMemory m;
  return {chunk_count(w.pairs(), 1), parameters ? attention_table_floats(s) : 0,
          parameters ? 2 * w.channels : 0,
          rounded(lay_out(w, nullptr, m) + SFR_DISPATCH(attention_backward_work_floats)(s, s.keys))};
}

void backward_window(const KernelContext& c, const Windows& w, int64_t pair, float* work, double* table_sums,
                     double* padding_sums) {
  const Place p = place_of(w, pair);
  WindowMemory m;
  lay_out(w, work, m);
  AttentionHead head = head_in_memory(c, w, p, m);
  const int64_t out = p.token * w.channels + p.channel;
  gather(w, p, c.in<float>(4) + out, w.channels, p.columns, m.out);
  gather_statistics(w, p, c.in<float>(5), m.logsumexp);
  if (c.has(6)) {
    gather(w, p, c.in<float>(6) + out, w.channels, p.columns, m.dout);
    head.dout = m.dout;
  }
  if (c.has(7)) {
    gather_statistics(w, p, c.in<float>(7), m.dlogsumexp);
    head.dlogsumexp = m.dlogsumexp;
  }
  head.dq = m.dq;
  head.dk = m.dk;
  head.dv = m.dv;
  SFR_DISPATCH(attention_backward)(head, 0, w.tokens(), m.kernel, table_sums);
  float* dqkv = c.out<float>(0) + p.token * 3 * w.channels + p.channel;
  scatter(w, p, m.dq, p.columns, 3 * w.channels, dqkv);
  scatter(w, p, m.dk, w.columns, 3 * w.channels, dqkv + w.channels);
  scatter(w, p, m.dv, w.columns, 3 * w.channels, dqkv + 2 * w.channels);
  if (padding_sums == nullptr) return;
  over_padding(w, p, [&](int64_t token) {
    for (int64_t i = 0; i < w.depth(); ++i) {
      padding_sums[p.channel + i] += static_cast<double>(m.dk[token * w.depth() + i]);
      padding_sums[w.channels + p.channel + i] += static_cast<double>(m.dv[token * w.depth() + i]);
    }
  });
}

void backward_windows(const KernelContext& c, const Windows& w, bool parameters) {
  const BackwardPlan plan = backward_plan(w, parameters);
  auto* tables = static_cast<double*>(c.work);
  double* padding = tables + plan.chunks * plan.table_sums;
  float* threads = static_cast<float*>(c.work) + plan.shared_floats();
  std::fill(tables, padding + plan.chunks * plan.padding_sums, 0.0);
  c.pool->parallel_for(plan.chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(w.pairs(), chunk, plan.chunks);
    for (int64_t pair = r.begin; pair < r.end; ++pair)
      backward_window(c, w, pair, threads + thread * plan.thread_floats,
                      parameters ? tables + chunk * plan.table_sums : nullptr,
                      parameters ? padding + chunk * plan.padding_sums : nullptr);
  });
  if (!parameters) return;
  sum_attention_tables(sizes_of(w, w.depth(), w.depth()), tables, plan.chunks,
                       {c.out<float>(2), c.out<float>(3)});
  for (int64_t i = 0; i < plan.padding_sums; ++i) {
    double total = 0;
    for (int64_t chunk = 0; chunk < plan.chunks; ++chunk) total += padding[chunk * plan.padding_sums + i];
    c.out<float>(1)[w.channels + i] = static_cast<float>(total);
  }
}

template <class A>
Windows windows_of(const NodeTypes& t) {
  return windows_of(t.input(0).shape, t.as<A>().heads, t.as<A>().window);
}

}  // namespace

size_t grid_attention_work_bytes(const NodeTypes& t, int threads) {
  const Windows w = windows_of<GridAttentionAttributes>(t);
  if (w.whole_grid()) return attention_heads_work_bytes(batch_of(w), threads);
  return static_cast<size_t>(threads * rounded(forward_floats(w))) * sizeof(float);
}

void grid_attention_cpu(const KernelContext& c) {
  const auto& a = c.as<GridAttentionAttributes>();
  const Windows w = windows_of(c.inputs[0].type.shape, a.heads, a.window);
  if (!w.whole_grid()) return forward_windows(c, w);
  AttentionBatch batch = batch_of(c, w);
  batch.first.out = c.out<float>(0);
  batch.first.logsumexp = c.out<float>(1);
  attention_heads(*c.pool, batch, c.work);
}

size_t grid_attention_backward_work_bytes(const NodeTypes& t, int threads) {
  const Windows w = windows_of<GridAttentionBackwardAttributes>(t);
  const bool parameters = t.as<GridAttentionBackwardAttributes>().parameters;
  if (w.whole_grid()) return attention_heads_backward_work_bytes(batch_of(w), parameters, threads);
  const BackwardPlan plan = backward_plan(w, parameters);
  return static_cast<size_t>(plan.shared_floats() + threads * plan.thread_floats) * sizeof(float);
}

void grid_attention_backward_cpu(const KernelContext& c) {
  const auto& a = c.as<GridAttentionBackwardAttributes>();
  const Windows w = windows_of(c.inputs[0].type.shape, a.heads, a.window);
  if (a.parameters) std::fill_n(c.out<float>(1), 3 * w.channels, 0.0f);
  if (!w.whole_grid()) return backward_windows(c, w, a.parameters);
  AttentionBatch batch = batch_of(c, w);
  batch.first.out = c.in<float>(4);
  batch.first.logsumexp = c.in<float>(5);
  batch.first.dout = c.in<float>(6);
  batch.first.dlogsumexp = c.in<float>(7);
  batch.first.dq = c.out<float>(0);
  batch.first.dk = batch.first.dq + w.channels;
  batch.first.dv = batch.first.dk + w.channels;
  const AttentionTables tables =
      a.parameters ? AttentionTables{c.out<float>(2), c.out<float>(3)} : AttentionTables{};
  attention_heads_backward(*c.pool, batch, tables, c.work);
}

}  // namespace sfr
