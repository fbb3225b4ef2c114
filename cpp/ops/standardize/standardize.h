// standardize: y = (x - mean) / std over the whole tensor (z-score), std with divisor n (numpy's ddof 0),
// sums in double. A constant x gives zeros.   x [..] f32 -> y [..] f32. Not differentiable. Equals SFR's
// pre-processing (dataloaders/dataset.py: image - mean / std).
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

// Sum of (x - mean)^2 in double: eight interleaved partial sums, then combined in order.
SFR_DECLARE_LEVELS(double squared_deviation_row(const float* x, double mean, int64_t count))
// y = (x - mean) * factor, in double before the result is rounded.
SFR_DECLARE_LEVELS(void standardize_row(const float* x, double mean, double factor, float* y, int64_t count))

}  // namespace sfr
