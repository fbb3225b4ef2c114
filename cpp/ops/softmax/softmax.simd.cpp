// Short rows are worked on by blocks of one register of rows (class_block.h), long ones along the row.
#include "ops/softmax/softmax.h"

#include "ops/softmax/class_block.h"

namespace sfr::SFR_LEVEL {

namespace {

constexpr int64_t kBlockChannels = 32;

SFR_INLINE int lanes_left(int64_t count) {
  return count < kLanes ? static_cast<int>(count) : kLanes;
}

SFR_INLINE void short_rows(const float* x, int64_t rows, int64_t channels, float* y) {
  float block[kBlockChannels * kLanes];
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int live = lanes_left(rows - i);
    load_classes(x + i * channels, channels, live, block);
    vf top = load(block), sum = zero();
    for (int64_t k = 1; k < channels; ++k) top = vmax(top, load(block + k * kLanes));
    for (int64_t k = 0; k < channels; ++k) {
      const vf e = vexp(load(block + k * kLanes) - top);
      store(block + k * kLanes, e);
      sum += e;
    }
    const vf inverse = 1.0f / sum;
    for (int64_t k = 0; k < channels; ++k) store(block + k * kLanes, load(block + k * kLanes) * inverse);
    store_classes(block, channels, live, y + i * channels);
  }
}

void long_row(const float* x, int64_t channels, float* y) {
  const int rest = static_cast<int>(channels % kLanes);
  const int64_t whole = channels - rest;
  vf tops = broadcast(x[0]), sums = zero();
  for (int64_t i = 0; i < whole; i += kLanes) tops = vmax(load(x + i), tops);
  float top = horizontal_max(tops);
  for (int64_t i = whole; i < channels; ++i) top = x[i] > top ? x[i] : top;
  for (int64_t i = 0; i < whole; i += kLanes) {
    const vf e = vexp(load(x + i) - top);
    store(y + i, e);
    sums += e;
  }
  float sum = 0;
  if (rest > 0) {
    const vf e = vexp(load_partial(x + whole, rest) - top);
    store_partial(y + whole, e, rest);
    for (int i = 0; i < rest; ++i) sum += e[i];
  }
  const float inverse = 1.0f / (sum + horizontal_sum(sums));
  for (int64_t i = 0; i < channels; ++i) y[i] *= inverse;
}

SFR_INLINE void short_rows_backward(const float* y, const float* dy, int64_t rows, int64_t channels,
                                    float* dx) {
  float ys[kBlockChannels * kLanes], block[kBlockChannels * kLanes];
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int live = lanes_left(rows - i);
    load_classes(y + i * channels, channels, live, ys);
    load_classes(dy + i * channels, channels, live, block);
    vf dot = zero();
    for (int64_t k = 0; k < channels; ++k) dot += load(ys + k * kLanes) * load(block + k * kLanes);
    for (int64_t k = 0; k < channels; ++k)
      store(block + k * kLanes, load(ys + k * kLanes) * (load(block + k * kLanes) - dot));
    store_classes(block, channels, live, dx + i * channels);
  }
}

void long_row_backward(const float* y, const float* dy, int64_t channels, float* dx) {
  vf sums = zero();
  int64_t i = 0;
  for (; i + kLanes <= channels; i += kLanes) sums += load(y + i) * load(dy + i);
  float dot = horizontal_sum(sums);
  for (; i < channels; ++i) dot += y[i] * dy[i];
  for (i = 0; i < channels; ++i) dx[i] = y[i] * (dy[i] - dot);
}

}  // namespace

void softmax_rows(const float* x, int64_t rows, int64_t channels, float* y) {
  if (channels == 2) return short_rows(x, rows, 2, y);
  if (channels <= kBlockChannels) return short_rows(x, rows, channels, y);
  for (int64_t i = 0; i < rows; ++i) long_row(x + i * channels, channels, y + i * channels);
}

void softmax_backward_rows(const float* y, const float* dy, int64_t rows, int64_t channels, float* dx) {
  if (channels == 2) return short_rows_backward(y, dy, rows, 2, dx);
  if (channels <= kBlockChannels) return short_rows_backward(y, dy, rows, channels, dx);
  for (int64_t i = 0; i < rows; ++i)
    long_row_backward(y + i * channels, dy + i * channels, channels, dx + i * channels);
}

}  // namespace sfr::SFR_LEVEL
