// at_least: y = 1 where x >= threshold, else 0 (NaN gives 0).
//   x [..] f32, threshold [] f32 -> y [..] f32; may run in place of x. Not differentiable.
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

/// Parameters of the kernel of at_least.cu.
struct AtLeastArgs {
  const float *x, *threshold;
  float* y;
  int64_t count;
};

SFR_DECLARE_LEVELS(void at_least_row(const float* x, float threshold, float* y, int64_t count))

}  // namespace sfr
