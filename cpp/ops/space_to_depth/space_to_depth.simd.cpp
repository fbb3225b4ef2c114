// Memory-bound copies of short runs (bw * C floats), too short for a call of memcpy each.
#include "ops/space_to_depth/space_to_depth.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

void copy_runs(const float* src, int64_t src_pitch, float* dst, int64_t dst_pitch, int64_t run, int64_t count,
               const float* added, bool streamed) {
  for (int64_t r = 0; r < count; ++r, src += src_pitch, dst += dst_pitch) {
    int64_t i = 0;
    for (; i + kLanes <= run; i += kLanes) {
      vf v = load(src + i);
      if (added) v += load(added + i);
      streamed ? stream(dst + i, v) : store(dst + i, v);
    }
    const int rest = static_cast<int>(run - i);
    if (rest == 0) continue;
    const vf v = load_partial(src + i, rest);
    store_partial(dst + i, added ? v + load_partial(added + i, rest) : v, rest);
  }
  if (streamed) stream_fence();
}

}  // namespace sfr::SFR_LEVEL
