// Memory-bound: reads three floats and writes two per parameter.
#include "ops/sgd/sgd.h"

namespace sfr::SFR_LEVEL {

void sgd_row(float* p, const float* gradient, float* v, int64_t count, float lr, float momentum,
             float weight_decay) {
  for (int64_t i = 0; i < count; ++i) {
    const float step = momentum * v[i] + (gradient[i] + weight_decay * p[i]);
    v[i] = step;
    p[i] -= lr * step;
  }
}

}  // namespace sfr::SFR_LEVEL
