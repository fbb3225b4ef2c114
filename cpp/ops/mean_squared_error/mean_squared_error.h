// mean_squared_error: y = mean of (a - b)^2 over all elements (0 when there are none).
//   a [..] f32, b [shape of a] f32 -> y [] f32, summed in double in a fixed order. Gradient: a and b.
// mean_squared_error_backward(a, b, dy) -> da = dy 2 (a - b) / count; db is the same with a and b exchanged.
#pragma once
#include <cstdint>

#include "cuda/columns.h"
#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

/// Parameters of the kernels of mean_squared_error.cu; backward, y is da.
struct SquaredErrorArgs {
  Elements a, b;
  const float* dy;
  Results y;
  int64_t count;
  ColumnSums sums;
};

// Sum of (a - b)^2.
SFR_DECLARE_LEVELS(double squared_error_row(const float* a, const float* b, int64_t count))
// da = factor (a - b); da may be a or b.
SFR_DECLARE_LEVELS(void squared_error_backward_row(const float* a, const float* b, float factor, float* da,
                                                   int64_t count))

}  // namespace sfr
