// Memory-bound. Rows are short (classes), so the compiler's vectors run over rows where the length is known.
#include "ops/row_products/row_products.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

SFR_INLINE void dot(const float* a, const float* b, int64_t rows, int64_t channels, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    float total = 0;
    for (int64_t k = 0; k < channels; ++k) total += a[r * channels + k] * b[r * channels + k];
    y[r] = total;
  }
}

SFR_INLINE void scale(const float* x, const float* factor, int64_t rows, int64_t channels, float* y) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < channels; ++k) y[r * channels + k] = x[r * channels + k] * factor[r];
}

}  // namespace

void dot_rows(const float* a, const float* b, int64_t rows, int64_t channels, float* y) {
  if (channels == 2) return dot(a, b, rows, 2, y);
  dot(a, b, rows, channels, y);
}

void scale_rows(const float* x, const float* factor, int64_t rows, int64_t channels, float* y) {
  if (channels == 2) return scale(x, factor, rows, 2, y);
  scale(x, factor, rows, channels, y);
}

}  // namespace sfr::SFR_LEVEL
