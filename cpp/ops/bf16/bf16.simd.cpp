// Memory-bound: one pass over both tensors.
#include "ops/bf16/bf16.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

void round_bf16_row(const float* x, Bf16* y, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store_bf16(y + i, load(x + i));
  if (i == count) return;
  const int rest = static_cast<int>(count - i);
  Bf16 last[kLanes];
  store_bf16(last, load_partial(x + i, rest));
  for (int k = 0; k < rest; ++k) y[i + k] = last[k];
}

void widen_bf16_row(const Bf16* x, float* y, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, load_bf16(x + i));
  if (i == count) return;
  const int rest = static_cast<int>(count - i);
  Bf16 last[kLanes] = {};
  for (int k = 0; k < rest; ++k) last[k] = x[i + k];
  store_partial(y + i, load_bf16(last), rest);
}

}  // namespace sfr::SFR_LEVEL
