// round_bf16: the nearest bf16 of each element, the even one of two; NaN stays NaN.  x [..] f32 -> y [..]
// bf16 widen_bf16: the same numbers as f32.  x [..] bf16 -> y [..] f32 How store_as_bf16 keeps values; nobody
// differentiates them.
#pragma once
#include <cstdint>

#include "core/bf16.h"
#include "math/levels.h"

namespace sfr {

/// Parameters of the kernels of bf16.cu.
struct RoundBf16Args {
  const float* x;
  Bf16* y;
  int64_t count;
};
struct WidenBf16Args {
  const Bf16* x;
  float* y;
  int64_t count;
};

SFR_DECLARE_LEVELS(void round_bf16_row(const float* x, Bf16* y, int64_t count))
SFR_DECLARE_LEVELS(void widen_bf16_row(const Bf16* x, float* y, int64_t count))

}  // namespace sfr
