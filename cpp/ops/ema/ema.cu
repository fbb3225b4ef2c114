// Memory-bound: reads two floats and writes one per parameter.
#include "cuda/kernel.h"
#include "ops/ema/ema.h"

namespace sfr::cuda {

SFR_KERNEL(ema, EmaArgs) {
  if (args.fault->code != kNoFault) return;
  const EmaArgs::Parameter t = args.parameters[blockIdx.y];
  const float alpha = *args.alpha, rest = static_cast<float>(1 - static_cast<double>(alpha));
  over_elements(t.count, [&](int64_t i) { t.teacher[i] = alpha * t.teacher[i] + rest * t.student[i]; });
}

}  // namespace sfr::cuda
