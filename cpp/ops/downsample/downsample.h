// downsample_mean: y = mean of each 2 x 2 x 2 block.  x [D, H, W] f32 -> y [D/2, H/2, W/2] f32
// downsample_majority: y = the most frequent label of each block, the smallest id among equals.
//   x [D, H, W] u8 -> y [D/2, H/2, W/2] u8
// An odd last plane, row or column is dropped. Not differentiable. Errors: shape when an extent is below 2.
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

// One output row from the four source rows (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1).
SFR_DECLARE_LEVELS(void downsample_mean_row(const float* const rows[4], float* y, int64_t count))

}  // namespace sfr
