// argmax: index of the largest value of the last axis; the smallest such index when values tie.
//   x [.., K] f32, 1 <= K <= 255 -> y [..] u8. A NaN is never the largest. Not differentiable.
#pragma once
#include <cstdint>

#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

/// Parameters of the kernel of argmax.cu.
struct ArgmaxArgs {
  Elements x;
  uint8_t* y;
  int64_t rows, classes;
};

SFR_DECLARE_LEVELS(void argmax_rows(const float* x, int64_t rows, int64_t classes, uint8_t* y))

}  // namespace sfr
