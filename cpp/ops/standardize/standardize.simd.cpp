#include "ops/standardize/standardize.h"

namespace sfr::SFR_LEVEL {

double squared_deviation_row(const float* x, double mean, int64_t count) {
  double sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int lane = 0; lane < 8; ++lane) {
      const double d = static_cast<double>(x[i + lane]) - mean;
      sums[lane] += d * d;
    }
  for (; i < count; ++i) sums[0] += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
  double total = 0;
  for (int lane = 0; lane < 8; ++lane) total += sums[lane];
  return total;
}

void standardize_row(const float* x, double mean, double factor, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<float>((static_cast<double>(x[i]) - mean) * factor);
}

}  // namespace sfr::SFR_LEVEL
