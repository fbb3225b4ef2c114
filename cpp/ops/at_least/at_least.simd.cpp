// Memory-bound: the compiler vectorises it.
#include "ops/at_least/at_least.h"

namespace sfr::SFR_LEVEL {

void at_least_row(const float* x, float threshold, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] >= threshold ? 1.0f : 0.0f;
}

}  // namespace sfr::SFR_LEVEL
