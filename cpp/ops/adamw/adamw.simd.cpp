// Memory-bound: reads four floats and writes three per parameter; one square root and one division.
#include "ops/adamw/adamw.h"

namespace sfr::SFR_LEVEL {

void adamw_row(float* p, const float* gradient, float* m, float* v, int64_t count,
               const AdamwFactors& factors) {
  const AdamwFactors f = factors;
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i];
    const float first = f.beta1 * m[i] + f.one_minus_beta1 * g;
    const float second = f.beta2 * v[i] + f.one_minus_beta2 * g * g;
    m[i] = first;
    v[i] = second;
    p[i] =
        f.keep * p[i] - f.step_size * (first / (__builtin_sqrtf(second) * f.inverse_deviation + f.epsilon));
  }
}

}  // namespace sfr::SFR_LEVEL
