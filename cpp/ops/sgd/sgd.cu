// Memory-bound: reads three floats and writes two per parameter.
#include "cuda/kernel.h"
#include "ops/sgd/sgd.h"

namespace sfr::cuda {

SFR_KERNEL(sgd, SgdArgs) {
  if (args.fault->code != kNoFault) return;
  const SgdArgs::Parameter t = args.parameters[blockIdx.y];
  over_elements(t.count, [&](int64_t i) {
    const float step = args.momentum * t.v[i] + (t.gradient[i] + args.weight_decay * t.p[i]);
    t.v[i] = step;
    t.p[i] -= *args.lr * step;
  });
}

}  // namespace sfr::cuda
