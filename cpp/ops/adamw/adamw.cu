// Memory-bound: reads four floats and writes three per parameter; one square root and one division.
#include "cuda/kernel.h"
#include "ops/adamw/adamw.h"
#include "ops/adamw/adamw_factors.h"

namespace sfr::cuda {

SFR_KERNEL(adamw_step, AdamwArgs) {
  over_elements(1, [&](int64_t) {
    const double step = static_cast<double>(*args.step);
    if (!(step >= 1)) atomicMin(&args.fault->code, fault_code(args.node, 0));
    *args.factors = adamw_factors(args.attributes, static_cast<double>(*args.lr), step);
  });
}

SFR_KERNEL(adamw, AdamwArgs) {
  if (args.fault->code != kNoFault) return;
  const AdamwArgs::Parameter t = args.parameters[blockIdx.y];
  const AdamwFactors f = *args.factors;
  over_elements(t.count, [&](int64_t i) {
    const float g = t.gradient[i];
    const float first = f.beta1 * t.m[i] + f.one_minus_beta1 * g;
    const float second = f.beta2 * t.v[i] + f.one_minus_beta2 * g * g;
    t.m[i] = first;
    t.v[i] = second;
    t.p[i] = f.keep * t.p[i] - f.step_size * (first / (sqrtf(second) * f.inverse_deviation + f.epsilon));
  });
}

}  // namespace sfr::cuda
