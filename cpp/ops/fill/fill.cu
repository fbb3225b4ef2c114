#include "cuda/kernel.h"
#include "ops/fill/fill.h"

namespace sfr::cuda {

SFR_KERNEL(fill_elements, FillArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.value; });
}

}  // namespace sfr::cuda
