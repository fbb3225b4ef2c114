#include "ops/window_accumulate/window_accumulate.h"

namespace sfr::SFR_LEVEL {

void add_row(const float* x, float* sums, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sums[i] += x[i];
}

void count_row(float* counts, int64_t count) {
  for (int64_t i = 0; i < count; ++i) counts[i] += 1;
}

void add_weighted_row(const float* x, const float* weights, bool reversed, int64_t rows, int64_t classes,
                      float* sums, float* counts) {
  for (int64_t i = 0; i < rows; ++i) {
    const float weight = weights == nullptr ? 1.0f : weights[i];
    const float* from = x + (reversed ? rows - 1 - i : i) * classes;
    for (int64_t k = 0; k < classes; ++k) sums[i * classes + k] += weight * from[k];
    counts[i] += weight;
  }
}

void divide_rows(const float* sums, const float* counts, int64_t rows, int64_t classes, float* y) {
  for (int64_t i = 0; i < rows; ++i) {
    const float inverse = counts[i] > 0 ? 1 / counts[i] : 0;
    for (int64_t k = 0; k < classes; ++k) y[i * classes + k] = sums[i * classes + k] * inverse;
  }
}

}  // namespace sfr::SFR_LEVEL
