// Memory-bound: reads two floats and writes one per parameter.
#include "ops/ema/ema.h"

namespace sfr::SFR_LEVEL {

void ema_row(float* teacher, const float* student, int64_t count, float alpha, float rest) {
  for (int64_t i = 0; i < count; ++i) teacher[i] = alpha * teacher[i] + rest * student[i];
}

}  // namespace sfr::SFR_LEVEL
