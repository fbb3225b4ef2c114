#include "cuda/kernel.h"
#include "ops/at_least/at_least.h"

namespace sfr::cuda {

SFR_KERNEL(at_least, AtLeastArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.x[i] >= *args.threshold ? 1.0f : 0.0f; });
}

}  // namespace sfr::cuda
