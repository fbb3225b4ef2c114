#include "cuda/kernel.h"
#include "ops/log/log.h"

namespace sfr::cuda {

SFR_KERNEL(exp_elements, LogArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = expf(args.x[i]); });
}

SFR_KERNEL(log_elements, LogArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = logf(args.x[i]); });
}

}  // namespace sfr::cuda
