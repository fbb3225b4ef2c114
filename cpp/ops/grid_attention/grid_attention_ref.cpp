#include <algorithm>
#include <cmath>

#include "native/op_test.h"
#include "ops/grid_attention/grid_attention.h"

namespace sfr::test {

namespace {

/// One head of one window; tokens are counted within the window, rows x columns of them.
template <class T>
struct Window {
  RefContext<T>& c;
  int64_t item, top, left, head, depth, channels, rows, columns;
  int64_t height() const { return c.inputs[0].dim(1); }
  int64_t width() const { return c.inputs[0].dim(2); }
  bool on_grid(int64_t i) const { return top + i / columns < height() && left + i % columns < width(); }
  int64_t at(int64_t i, int64_t count) const {
    return ((item * height() + top + i / columns) * width() + left + i % columns) * count;
  }
  /// Element e of q (part 0), k (1) or v (2).
  T part(int part, int64_t i, int64_t e) const {
    const int64_t channel = part * channels + head * depth + e;
    return on_grid(i) ? c.inputs[0][at(i, 3 * channels) + channel] : c.inputs[1][channel];
  }
  T relative(size_t input, int64_t i, int64_t row) const {
    T sum = 0;
    for (int64_t e = 0; e < depth; ++e) sum += part(0, i, e) * c.inputs[input][row * depth + e];
    return sum;
  }
  T score(int64_t i, int64_t j) const {
    T sum = 0;
    for (int64_t e = 0; e < depth; ++e) sum += part(0, i, e) / std::sqrt(T(depth)) * part(1, j, e);
    sum += relative(2, i, i / columns - j / columns + rows - 1);
    return sum + relative(3, i, i % columns - j % columns + columns - 1);
  }
};

template <class T>
void attend(const Window<T>& w) {
  const int64_t tokens = w.rows * w.columns;
  for (int64_t i = 0; i < tokens; ++i) {
    if (!w.on_grid(i)) continue;
    std::vector<T> p;
    for (int64_t j = 0; j < tokens; ++j) p.push_back(w.score(i, j));
    const T top = *std::max_element(p.begin(), p.end());
    T total = 0;
    for (T& x : p) total += x = std::exp(x - top);
    for (int64_t e = 0; e < w.depth; ++e) {
      T sum = 0;
      for (int64_t j = 0; j < tokens; ++j) sum += p[static_cast<size_t>(j)] * w.part(2, j, e);
      w.c.outputs[0][w.at(i, w.channels) + w.head * w.depth + e] = sum / total;
    }
    const int64_t heads = w.channels / w.depth, row = (w.item * heads + w.head) * w.height() + w.top;
    w.c.outputs[1][(row + i / w.columns) * w.width() + w.left + i % w.columns] = top + std::log(total);
  }
}

template <class T>
void grid_attention_reference(RefContext<T>& c) {
  const auto& a = c.template as<GridAttentionAttributes>();
  const Shape& qkv = c.inputs[0].type.shape;
  const int64_t rows = a.window > 0 ? a.window : qkv[1], columns = a.window > 0 ? a.window : qkv[2];
  const int64_t channels = qkv[3] / 3;
  for (int64_t item = 0; item < qkv[0]; ++item)
    for (int64_t top = 0; top < qkv[1]; top += rows)
      for (int64_t left = 0; left < qkv[2]; left += columns)
        for (int64_t head = 0; head < a.heads; ++head)
          attend(Window<T>{c, item, top, left, head, channels / a.heads, channels, rows, columns});
}

AttributeMap attributes(double heads, double window) {
  return {{"heads", heads}, {"window", window}};
}

/// 0.3 keeps the relative terms near the size of the others.
std::vector<InputSpec> tokens(const Shape& grid, int64_t heads, int64_t depth, int64_t rows,
                              int64_t columns) {
  const int64_t channels = 3 * heads * depth;
  return {{{grid[0], grid[1], grid[2], channels}},
          {{channels}},
          {{2 * rows - 1, depth}, DType::f32, Fill::normal, 0.3},
          {{2 * columns - 1, depth}, DType::f32, Fill::normal, 0.3}};
}

/// Scores of about 1e4.
std::vector<InputSpec> huge_scores() {
  std::vector<InputSpec> inputs = tokens({1, 5, 4, 0}, 1, 6, 3, 3);
  inputs[0].scale = 70;
  return inputs;
}

/// Only the tokens: what LoRA training asks for.
std::vector<InputSpec> frozen_tables() {
  std::vector<InputSpec> inputs = tokens({1, 5, 7, 0}, 2, 5, 3, 3);
  for (size_t i = 1; i < 4; ++i) inputs[i].differentiate = false;
  return inputs;
}

std::vector<InputSpec> frozen_global_tables() {
  std::vector<InputSpec> inputs = tokens({2, 4, 3, 0}, 2, 5, 4, 3);
  for (size_t i = 1; i < 4; ++i) inputs[i].differentiate = false;
  return inputs;
}

const std::vector<OpCase> cases = {
    {"one", attributes(1, 0), tokens({1, 1, 1, 0}, 1, 3, 1, 1)},
    {"odd_grid", attributes(2, 0), tokens({2, 3, 5, 0}, 2, 7, 3, 5)},
    {"tall_grid", attributes(1, 0), tokens({1, 13, 3, 0}, 1, 16, 13, 3)},
    {"two_query_blocks", attributes(1, 0), tokens({1, 17, 16, 0}, 1, 4, 17, 16)},
    {"whole_windows", attributes(2, 3), tokens({1, 6, 3, 0}, 2, 4, 3, 3)},
    {"padded_windows", attributes(2, 3), tokens({2, 4, 5, 0}, 2, 5, 3, 3)},
    {"window_beyond_grid", attributes(1, 4), tokens({1, 2, 3, 0}, 1, 6, 4, 4)},
    {"sam_windows", attributes(2, 14), tokens({1, 16, 20, 0}, 2, 8, 14, 14)},
    {"frozen_tables", attributes(2, 3), frozen_tables()},
    {"frozen_global_tables", attributes(2, 0), frozen_global_tables()},
    {"huge_scores", attributes(1, 3), huge_scores()},
};

SFR_OP_TEST(grid_attention, grid_attention_reference, cases);

}  // namespace

}  // namespace sfr::test
