#include "ops/intensity_map/intensity_map.h"

namespace sfr::SFR_LEVEL {

void bezier_samples(double p1, double p2, double* table, int64_t samples) {
  const double step = 1.0 / static_cast<double>(samples - 1);
  for (int64_t i = 0; i < samples; ++i) {
    const double t = static_cast<double>(static_cast<int32_t>(i)) * step, s = 1 - t;
    table[i] = 3 * s * s * t * p1 + 3 * s * t * t * p2 + t * t * t;
  }
  table[samples - 1] = 1;
}

}  // namespace sfr::SFR_LEVEL
