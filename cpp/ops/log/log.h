// exp: y = e^x, element by element.   x [..] f32 -> y [..] f32; may run in place. The gradient is dy y.
// log: y = ln(x), element by element; -inf for 0, NaN below.   x [..] f32 -> y [..] f32; may run in place
//   The gradient is dy / x.
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

/// Parameters of the kernels of log.cu.
struct LogArgs {
  const float* x;
  float* y;
  int64_t count;
};

SFR_DECLARE_LEVELS(void exp_row(const float* x, float* y, int64_t count))
SFR_DECLARE_LEVELS(void log_row(const float* x, float* y, int64_t count))

}  // namespace sfr
