#include "ops/resize_bilinear/resize_bilinear.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

void blend_rows(const float* low, const float* high, float weight, int64_t count, float* y) {
  const float rest = 1.0f - weight;
  for (int64_t i = 0; i < count; ++i) y[i] = rest * low[i] + weight * high[i];
}

namespace {

SFR_INLINE void columns_of(const float* __restrict x, const ResizeTap* __restrict taps, int64_t columns,
                           int64_t channels, float* __restrict y) {
  for (int64_t i = 0; i < columns; ++i) {
    const float *low = x + taps[i].low * channels, *high = x + taps[i].high * channels;
    const float weight = taps[i].weight, rest = 1.0f - weight;
    for (int64_t c = 0; c < channels; ++c) y[i * channels + c] = rest * low[c] + weight * high[c];
  }
}

SFR_INLINE void add_to(const float* __restrict x, float factor, int64_t channels, float* __restrict y) {
  for (int64_t c = 0; c < channels; ++c) y[c] += factor * x[c];
}

}  // namespace

void blend_columns(const float* x, const ResizeTap* taps, int64_t columns, int64_t channels, float* y) {
  switch (channels) {  // constant counts: with few classes the loop over channels is shorter than a register
    case 1:
      return columns_of(x, taps, columns, 1, y);
    case 2:
      return columns_of(x, taps, columns, 2, y);
    case 3:
      return columns_of(x, taps, columns, 3, y);
    default:
      return columns_of(x, taps, columns, channels, y);
  }
}

void add_scaled_row(const float* x, float factor, int64_t count, float* y) {
  add_to(x, factor, count, y);
}

void gather_columns(const float* y, const ResizeTap* taps, int64_t columns, int64_t inputs, int64_t channels,
                    float* x) {
  __builtin_memset(x, 0, static_cast<size_t>(inputs * channels) * sizeof(float));
  for (int64_t i = 0; i < columns; ++i) {
    add_to(y + i * channels, 1.0f - taps[i].weight, channels, x + taps[i].low * channels);
    add_to(y + i * channels, taps[i].weight, channels, x + taps[i].high * channels);
  }
}

}  // namespace sfr::SFR_LEVEL
