#include "cuda/kernel.h"
#include "ops/argmax/argmax.h"

namespace sfr::cuda {

SFR_KERNEL(argmax, ArgmaxArgs) {
  over_elements(args.rows, [&](int64_t i) {
    const float* x = args.x + i * args.classes;
    float top = x[0] == x[0] ? x[0] : -INFINITY;
    int64_t best = 0;
    for (int64_t k = 1; k < args.classes; ++k) {
      if (!(x[k] > top)) continue;
      top = x[k];
      best = k;
    }
    args.y[i] = static_cast<uint8_t>(best);
  });
}

}  // namespace sfr::cuda
