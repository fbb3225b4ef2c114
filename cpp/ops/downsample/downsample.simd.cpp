#include "ops/downsample/downsample.h"

namespace sfr::SFR_LEVEL {

void downsample_mean_row(const float* const rows[4], float* y, int64_t count) {
  const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
  for (int64_t i = 0; i < count; ++i) {
    const float left = (a[2 * i] + b[2 * i]) + (c[2 * i] + d[2 * i]);
    const float right = (a[2 * i + 1] + b[2 * i + 1]) + (c[2 * i + 1] + d[2 * i + 1]);
    y[i] = (left + right) * 0.125f;
  }
}

}  // namespace sfr::SFR_LEVEL
