// Forward: a block of queries runs over the keys tile by tile with a running maximum and sum per query.
#include "ops/attention/attention_tiles.h"

namespace sfr::SFR_LEVEL {

namespace {

/// A thread's memory.
struct ForwardWork {
  float* k;         // tiles of k / sqrt(d), pack_rows
  float* v;         // tiles of the transposed v, pack_columns
  float* products;  // [2 G - 1][kPanel]
  float* scores;    // [kKeyBlock][kPanel]
  Panel panels[kPanels];
  float* out[kPanels];  // [depth][kPanel], not yet divided by the sum
  float* top[kPanels];  // [kPanel] running maximum, or up to kHeadroom less
  float* sum[kPanels];  // [kPanel] running sum of 2^(score - top)
};

int64_t lay_out(const AttentionSizes& s, float* base, ForwardWork& w) {
  Carver carver = {base, 0};
  const int64_t lines = s.grid_rows > s.grid_columns ? s.grid_rows : s.grid_columns;
  w.k = carve(carver, round_up(s.keys, kTileRows) * s.depth);
  w.v = carve(carver, round_up(s.depth, kTileRows) * s.keys);
  w.products = carve(carver, 2 * lines * kPanel);
  w.scores = carve(carver, kKeyBlock * kPanel);
  for (int64_t i = 0; i < kPanels; ++i) {
    w.panels[i].q = carve(carver, s.depth * kPanel);
    w.panels[i].bias_h = carve(carver, s.grid_rows * kPanel);
    w.panels[i].bias_w = carve(carver, s.grid_columns * kPanel);
    w.out[i] = carve(carver, s.depth * kPanel);
    w.top[i] = carve(carver, kPanel);
    w.sum[i] = carve(carver, kPanel);
  }
  return carver.used;
}

/// How far a score may exceed the maximum under which sums are kept: 2^8 of headroom is harmless in f32, and
/// most tiles need no rescaling.
constexpr float kHeadroom = 8;

/// Moves what was summed under the old maximum of one register of queries to the new one.
SFR_INLINE void rescale(int64_t depth, vf new_top, float* top, float* sum, float* out) {
  const vf shrink = exp2_of_score(load(top) - new_top);
  store(top, new_top);
  store(sum, load(sum) * shrink);
  for (int64_t c = 0; c < depth; ++c) store(out + c * kPanel, load(out + c * kPanel) * shrink);
}

/// scores -> 2^(score - maximum) for one register of queries.
SFR_INLINE void soften(float* scores, int64_t keys, int64_t depth, float* top, float* sum, float* out) {
  vf new_top = load(top), total = zero();
  for (int64_t i = 0; i < keys; ++i) new_top = vmax(new_top, load(scores + i * kPanel));
  if (horizontal_max(new_top - load(top)) > kHeadroom) rescale(depth, new_top, top, sum, out);
  const vf kept_top = load(top);
  for (int64_t i = 0; i < keys; ++i) {
    const vf e = exp2_of_score(load(scores + i * kPanel) - kept_top);
    store(scores + i * kPanel, e);
    total += e;
  }
  store(sum, load(sum) + total);
}

void run_keys(const AttentionSizes& s, const ForwardWork& w, int64_t i, int64_t begin, int64_t count) {
  const Panel& panel = w.panels[i];
  fill_scores(s, panel, w.k + begin * s.depth, begin, count, w.scores);
  for (int v = 0; v < panel.registers; ++v)
    soften(w.scores + v * kLanes, count, s.depth, w.top[i] + v * kLanes, w.sum[i] + v * kLanes,
           w.out[i] + v * kLanes);
  product<true>({w.v + begin * kTileRows, s.keys, kTileRows, w.scores, kPanel, count, w.out[i], kPanel},
                s.depth, panel.registers, true);
}

void start_panel(const AttentionHead& head, ForwardWork& w, int64_t i, int64_t begin, int64_t end) {
  const AttentionSizes& s = head.sizes;
  const Panel kept = w.panels[i];
  Panel& panel = w.panels[i];
  panel = panel_at(begin, end);
  panel.q = kept.q;
  panel.bias_h = kept.bias_h;
  panel.bias_w = kept.bias_w;
  pack_panel(head.q + begin * s.pitch, s.pitch, panel.count, s.depth, kLog2E, panel.q);
  if (s.grid_rows > 0) {
    fill_bias(head, panel, 0, w.products, panel.bias_h);
    fill_bias(head, panel, 1, w.products, panel.bias_w);
  }
  __builtin_memset(w.out[i], 0, static_cast<size_t>(s.depth * kPanel) * sizeof(float));
  for (int v = 0; v < kPanel / kLanes; ++v) {
    store(w.top[i] + v * kLanes, broadcast(-3.0e38f));
    store(w.sum[i] + v * kLanes, zero());
  }
}

void finish_panel(const AttentionHead& head, const ForwardWork& w, int64_t i) {
  const AttentionSizes& s = head.sizes;
  const Panel& panel = w.panels[i];
  for (int v = 0; v < panel.registers; ++v) {
    const vf inverse = 1.0f / load(w.sum[i] + v * kLanes);
    for (int64_t c = 0; c < s.depth; ++c) {
      float* out = w.out[i] + c * kPanel + v * kLanes;
      store(out, load(out) * inverse);
    }
  }
  transpose(head.out + panel.begin * s.out_pitch, s.out_pitch, w.out[i], kPanel, s.depth, panel.count);
  for (int64_t q = 0; q < panel.count; ++q)
    head.logsumexp[panel.begin + q] = w.top[i][q] * kLn2 + __builtin_logf(w.sum[i][q]);
}

}  // namespace

void attention_blocks(AttentionBlocks* blocks) {
  *blocks = {kQueryBlock, kKeyBlock};
}

int64_t attention_work_floats(const AttentionSizes& sizes) {
  ForwardWork work;
  return lay_out(sizes, nullptr, work);
}

void attention_pack(const AttentionHead& head, float* work) {
  ForwardWork w;
  const AttentionSizes& s = head.sizes;
  lay_out(s, work, w);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(s.depth));
  pack_rows(head.k, s.pitch, s.keys, s.depth, scale, w.k);
  pack_columns(head.v, s.pitch, s.keys, s.depth, 1.0f, w.v);
}

void attention_forward(const AttentionHead& head, int64_t begin, int64_t end, float* work) {
  ForwardWork w;
  const AttentionSizes& s = head.sizes;
  lay_out(s, work, w);
  const int64_t panels = (end - begin + kPanel - 1) / kPanel;
  for (int64_t i = 0; i < panels; ++i) start_panel(head, w, i, begin + i * kPanel, end);
  for (int64_t key = 0; key < s.keys; key += kKeyBlock)
    for (int64_t i = 0; i < panels; ++i) run_keys(s, w, i, key, smaller(kKeyBlock, s.keys - key));
  for (int64_t i = 0; i < panels; ++i) finish_panel(head, w, i);
}

}  // namespace sfr::SFR_LEVEL
