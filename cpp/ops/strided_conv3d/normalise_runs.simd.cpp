#include "ops/strided_conv3d/normalise_runs.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

void normalise_runs(const float* src, float* dst, int64_t dst_pitch, int64_t run, int64_t count,
                    const float* tables) {
  const float *mean = tables, *scale = mean + run, *bias = scale + run;
  for (int64_t r = 0; r < count; ++r, src += run, dst += dst_pitch) {
    int64_t i = 0;
    for (; i + kLanes <= run; i += kLanes) {
      const vf y = (load(src + i) - load(mean + i)) * load(scale + i) + load(bias + i);
      store(dst + i, y < 0 ? zero() : y);
    }
    const int rest = static_cast<int>(run - i);
    if (rest == 0) continue;
    const vf y =
        (load_partial(src + i, rest) - load_partial(mean + i, rest)) * load_partial(scale + i, rest) +
        load_partial(bias + i, rest);
    store_partial(dst + i, y < 0 ? zero() : y, rest);
  }
}

}  // namespace sfr::SFR_LEVEL
