// Backward: for a range of keys, all queries, block by block. With P = softmax of the scores and dP = dout
// v^T, dS = P (dP - delta), delta = sum(dout out) - dlogsumexp; then dv = P^T dout, dk = dS^T q / sqrt(d), dq
// = dS k / sqrt(d) + the relative terms' share. Five products per tile; dk and dv stay in the thread's
// memory.
#include "ops/attention/attention_tiles.h"

namespace sfr::SFR_LEVEL {

namespace {

struct BackwardPanel {
  Panel panel;
  float* q_rows;     // [kPanel][padded depth]
  float* dout;       // [depth][kPanel]
  float* dout_rows;  // [kPanel][padded depth]
  float* dq;         // [depth][kPanel]
  float* dbias_h;    // [grid rows][kPanel]: dS summed over the keys of a grid row
  float* dbias_w;    // [grid columns][kPanel]
  float* logsumexp;  // [kPanel], times log2(e)
  float* delta;      // [kPanel]
};

/// A thread's memory; `padded` is depth rounded up to whole registers.
struct BackwardWork {
  int64_t padded;
  float* k;             // tiles of k / sqrt(d), pack_rows
  float* k_transposed;  // the same, pack_columns
  float* v;             // tiles of v, pack_rows
  float* dk;            // [keys][padded]
  float* dv;            // [keys][padded]
  float* products;      // [2 G - 1][kPanel]
  float* tables;        // [2 Gh - 1 + 2 Gw - 1][padded]: gradient of both tables
  float* scores;        // [kKeyBlock][kPanel]: then P
  float* slopes;        // [kKeyBlock][kPanel]: dP, then dS
  BackwardPanel panels[kPanels];
};

int64_t table_rows(const AttentionSizes& s) {
  return s.grid_rows > 0 ? 2 * (s.grid_rows + s.grid_columns) - 2 : 0;
}

int64_t lay_out(const AttentionSizes& s, int64_t keys, float* base, BackwardWork& w) {
  Carver carver = {base, 0};
  const int64_t lines = s.grid_rows > s.grid_columns ? s.grid_rows : s.grid_columns;
  w.padded = round_up(s.depth, kLanes);
  w.k = carve(carver, round_up(keys, kTileRows) * s.depth);
  w.k_transposed = carve(carver, round_up(s.depth, kTileRows) * keys);
  w.v = carve(carver, round_up(keys, kTileRows) * s.depth);
  w.dk = carve(carver, keys * w.padded);
  w.dv = carve(carver, keys * w.padded);
  w.products = carve(carver, 2 * lines * kPanel);
  w.tables = carve(carver, table_rows(s) * w.padded);
  w.scores = carve(carver, kKeyBlock * kPanel);
  w.slopes = carve(carver, kKeyBlock * kPanel);
  for (BackwardPanel& p : w.panels) {
    p.panel.q = carve(carver, s.depth * kPanel);
    p.panel.bias_h = carve(carver, s.grid_rows * kPanel);
    p.panel.bias_w = carve(carver, s.grid_columns * kPanel);
    p.q_rows = carve(carver, kPanel * w.padded);
    p.dout = carve(carver, s.depth * kPanel);
    p.dout_rows = carve(carver, kPanel * w.padded);
    p.dq = carve(carver, s.depth * kPanel);
    p.dbias_h = carve(carver, s.grid_rows * kPanel);
    p.dbias_w = carve(carver, s.grid_columns * kPanel);
    p.logsumexp = carve(carver, kPanel);
    p.delta = carve(carver, kPanel);
  }
  return carver.used;
}

SFR_INLINE void clear(float* p, int64_t floats) {
  __builtin_memset(p, 0, static_cast<size_t>(floats) * sizeof(float));
}

SFR_INLINE void copy_rows(const float* src, int64_t pitch, int64_t rows, int64_t depth, int64_t padded,
                          float* dst) {
  clear(dst, kPanel * padded);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < depth; ++c) dst[r * padded + c] = src[r * pitch + c];
}

SFR_INLINE float dot(const float* a, const float* b, int64_t count) {
  vf sums = zero();
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sums += load(a + i) * load(b + i);
  const int rest = static_cast<int>(count - i);
  if (rest > 0) sums += load_partial(a + i, rest) * load_partial(b + i, rest);
  return horizontal_sum(sums);
}

/// delta and logsumexp; lanes without a query get 0, which keeps them finite.
SFR_INLINE void fill_statistics(const AttentionHead& head, BackwardPanel& p) {
  clear(p.logsumexp, kPanel);
  clear(p.delta, kPanel);
  for (int64_t i = 0; i < p.panel.count; ++i) {
    const int64_t query = p.panel.begin + i, at = query * head.sizes.out_pitch;
    p.logsumexp[i] = head.logsumexp[query] * kLog2E;
    if (head.dout) p.delta[i] = dot(head.dout + at, head.out + at, head.sizes.depth);
    if (head.dlogsumexp) p.delta[i] -= head.dlogsumexp[query];
  }
}

void start_panel(const AttentionHead& head, BackwardWork& w, BackwardPanel& p, int64_t begin, int64_t end) {
  const AttentionSizes& s = head.sizes;
  const Panel kept = p.panel;
  p.panel = panel_at(begin, end);
  p.panel.q = kept.q;
  p.panel.bias_h = kept.bias_h;
  p.panel.bias_w = kept.bias_w;
  const int64_t count = p.panel.count;
  const float* q = head.q + begin * s.pitch;
  pack_panel(q, s.pitch, count, s.depth, kLog2E, p.panel.q);
  copy_rows(q, s.pitch, count, s.depth, w.padded, p.q_rows);
  if (head.dout) {
    const float* dout = head.dout + begin * s.out_pitch;
    pack_panel(dout, s.out_pitch, count, s.depth, 1.0f, p.dout);
    copy_rows(dout, s.out_pitch, count, s.depth, w.padded, p.dout_rows);
  } else {
    clear(p.dout, s.depth * kPanel);
    clear(p.dout_rows, kPanel * w.padded);
  }
  fill_statistics(head, p);
  clear(p.dq, s.depth * kPanel);
  if (s.grid_rows == 0) return;
  fill_bias(head, p.panel, 0, w.products, p.panel.bias_h);
  fill_bias(head, p.panel, 1, w.products, p.panel.bias_w);
  clear(p.dbias_h, s.grid_rows * kPanel);
  clear(p.dbias_w, s.grid_columns * kPanel);
}

/// scores -> P and slopes (dP) -> dS for one register of queries.
SFR_INLINE void differentiate(float* scores, float* slopes, int64_t keys, vf logsumexp, vf delta) {
  for (int64_t i = 0; i < keys; ++i) {
    const vf p = exp2_of_score(load(scores + i * kPanel) - logsumexp);
    store(scores + i * kPanel, p);
    store(slopes + i * kPanel, p * (load(slopes + i * kPanel) - delta));
  }
}

/// Adds dS of keys [begin, begin + count) to the gradients of the panel's relative terms.
SFR_INLINE void add_to_bias(const AttentionSizes& s, const BackwardPanel& p, const float* slopes,
                            int64_t begin, int64_t count) {
  int64_t row = begin / s.grid_columns, column = begin % s.grid_columns;
  for (int64_t i = 0; i < count;) {
    const int64_t run = smaller(count - i, s.grid_columns - column);
    for (int v = 0; v < p.panel.registers; ++v) {
      vf sum = load(p.dbias_h + row * kPanel + v * kLanes);
      for (int64_t j = 0; j < run; ++j) {
        float* w = p.dbias_w + (column + j) * kPanel + v * kLanes;
        const vf slope = load(slopes + (i + j) * kPanel + v * kLanes);
        sum += slope;
        store(w, load(w) + slope);
      }
      store(p.dbias_h + row * kPanel + v * kLanes, sum);
    }
    i += run;
    column = 0;
    ++row;
  }
}

/// Keys [key, key + count), counted from the range's first key `begin`.
void run_keys(const AttentionSizes& s, const BackwardWork& w, const BackwardPanel& p, int64_t begin,
              int64_t keys, int64_t key, int64_t count) {
  const int across = p.panel.registers, along = static_cast<int>(w.padded / kLanes);
  fill_scores(s, p.panel, w.k + key * s.depth, begin + key, count, w.scores);
  product<true>({w.v + key * s.depth, s.depth, kTileRows, p.dout, kPanel, s.depth, w.slopes, kPanel}, count,
                across, false);
  for (int v = 0; v < across; ++v)
    differentiate(w.scores + v * kLanes, w.slopes + v * kLanes, count, load(p.logsumexp + v * kLanes),
                  load(p.delta + v * kLanes));
  if (s.grid_rows > 0) add_to_bias(s, p, w.slopes, begin + key, count);
  product<false>({w.scores, kPanel, 1, p.dout_rows, w.padded, p.panel.count, w.dv + key * w.padded, w.padded},
                 count, along, true);
  product<false>({w.slopes, kPanel, 1, p.q_rows, w.padded, p.panel.count, w.dk + key * w.padded, w.padded},
                 count, along, true);
  product<true>({w.k_transposed + key * kTileRows, keys, kTileRows, w.slopes, kPanel, count, p.dq, kPanel},
                s.depth, across, true);
}

/// The relative terms' share of dq, and of the table's gradient [..][padded] unless null.
SFR_INLINE void finish_bias(const AttentionHead& head, const BackwardWork& w, const BackwardPanel& p,
                            int axis, float* table_gradient) {
  const AttentionSizes& s = head.sizes;
  const int64_t lines = axis == 0 ? s.grid_rows : s.grid_columns;
  const TableSpan span = table_span(s, p.panel, axis);
  const float *table = axis == 0 ? head.rel_h : head.rel_w, *dbias = axis == 0 ? p.dbias_h : p.dbias_w;
  clear(w.products, span.rows * kPanel);
  for (int64_t i = 0; i < p.panel.count; ++i) {
    for (int64_t line = 0; line < lines; ++line)
      w.products[(span.last[i] - line) * kPanel + i] = dbias[line * kPanel + i];
  }
  product<true>({table + span.first * s.depth, 1, s.depth, w.products, kPanel, span.rows, p.dq, kPanel},
                s.depth, p.panel.registers, true);
  if (table_gradient == nullptr) return;
  product<false>({w.products, kPanel, 1, p.q_rows, w.padded, p.panel.count,
                  table_gradient + span.first * w.padded, w.padded},
                 span.rows, static_cast<int>(w.padded / kLanes), true);
}

void finish_panel(const AttentionHead& head, const BackwardWork& w, const BackwardPanel& p, bool tables) {
  const AttentionSizes& s = head.sizes;
  if (s.grid_rows > 0) {
    finish_bias(head, w, p, 0, tables ? w.tables : nullptr);
    finish_bias(head, w, p, 1, tables ? w.tables + (2 * s.grid_rows - 1) * w.padded : nullptr);
  }
  transpose(head.dq + p.panel.begin * s.dq_pitch, s.dq_pitch, p.dq, kPanel, s.depth, p.panel.count);
}

}  // namespace

int64_t attention_backward_work_floats(const AttentionSizes& sizes, int64_t keys) {
  BackwardWork work;
  return lay_out(sizes, keys, nullptr, work);
}

void attention_backward(const AttentionHead& head, int64_t begin, int64_t end, float* work,
                        double* table_sums) {
  BackwardWork w;
  const AttentionSizes& s = head.sizes;
  const int64_t keys = end - begin, at = begin * s.pitch;
  lay_out(s, keys, work, w);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(s.depth));
  pack_rows(head.k + at, s.pitch, keys, s.depth, scale, w.k);
  pack_columns(head.k + at, s.pitch, keys, s.depth, scale, w.k_transposed);
  pack_rows(head.v + at, s.pitch, keys, s.depth, 1.0f, w.v);
  clear(w.dk, keys * w.padded);
  clear(w.dv, keys * w.padded);
  clear(w.tables, table_rows(s) * w.padded);
  for (int64_t block = 0; block < s.queries; block += kQueryBlock) {
    const int64_t block_end = smaller(block + kQueryBlock, s.queries);
    const int64_t panels = (block_end - block + kPanel - 1) / kPanel;
    for (int64_t i = 0; i < panels; ++i) start_panel(head, w, w.panels[i], block + i * kPanel, block_end);
    for (int64_t key = 0; key < keys; key += kKeyBlock)
      for (int64_t i = 0; i < panels; ++i)
        run_keys(s, w, w.panels[i], begin, keys, key, smaller(kKeyBlock, keys - key));
    for (int64_t i = 0; i < panels; ++i) finish_panel(head, w, w.panels[i], table_sums != nullptr);
  }
  for (int64_t key = 0; key < keys; ++key) {
    for (int64_t c = 0; c < s.depth; ++c) {
      head.dk[at + key * s.pitch + c] = w.dk[key * w.padded + c] * scale;
      head.dv[at + key * s.pitch + c] = w.dv[key * w.padded + c];
    }
  }
  for (int64_t row = 0; table_sums && row < table_rows(s); ++row)
    for (int64_t c = 0; c < s.depth; ++c)
      table_sums[row * s.depth + c] += static_cast<double>(w.tables[row * w.padded + c]);
}

void attention_add(const float* x, int64_t x_pitch, int64_t rows, int64_t width, float* y, int64_t y_pitch) {
  for (int64_t row = 0; row < rows; ++row, x += x_pitch, y += y_pitch)
    for (int64_t i = 0; i < width; ++i) y[i] += x[i];
}

}  // namespace sfr::SFR_LEVEL
