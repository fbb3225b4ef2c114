#include "cuda/bf16.h"
#include "ops/argmax/argmax.h"

namespace sfr::cuda {

SFR_KERNEL(argmax, ArgmaxArgs) {
  over_elements(args.rows, [&](int64_t i) {
    const Elements x = args.x + i * args.classes;
    const float first = x[0];
    float top = first == first ? first : -INFINITY;
    int64_t best = 0;
    for (int64_t k = 1; k < args.classes; ++k) {
      const float value = x[k];
      if (!(value > top)) continue;
      top = value;
      best = k;
    }
    args.y[i] = static_cast<uint8_t>(best);
  });
}

}  // namespace sfr::cuda
