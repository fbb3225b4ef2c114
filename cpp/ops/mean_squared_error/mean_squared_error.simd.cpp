#include "ops/mean_squared_error/mean_squared_error.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

double squared_error_row(const float* a, const float* b, int64_t count) {
  constexpr int64_t kStrip = 256 * kLanes;  // f32 sums of 256 terms per lane, then double
  double total = 0;
  int64_t i = 0;
  while (i + kLanes <= count) {
    const int64_t end = i + kStrip < count ? i + kStrip : count;
    vf sums = zero();
    for (; i + kLanes <= end; i += kLanes) {
      const vf d = load(a + i) - load(b + i);
      sums += d * d;
    }
    for (int lane = 0; lane < kLanes; ++lane) total += static_cast<double>(sums[lane]);
  }
  for (; i < count; ++i) {
    const double d = static_cast<double>(a[i] - b[i]);
    total += d * d;
  }
  return total;
}

void squared_error_backward_row(const float* a, const float* b, float factor, float* da, int64_t count) {
  for (int64_t i = 0; i < count; ++i) da[i] = factor * (a[i] - b[i]);
}

}  // namespace sfr::SFR_LEVEL
