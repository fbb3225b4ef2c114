// max_pool3d: y = the largest of each 2 x 2 x 2 block (equals torch.nn.MaxPool3d(2); NaN wins).
//   x [N, D, H, W, C] f32 -> y [N, D/2, H/2, W/2, C] f32
//   Errors: shape when an extent of D, H, W is odd.
// max_pool3d_backward: dx = dy where x is the largest of its block, else 0; of equal ones the first, counted
//   with z fastest, then y, then x, which is PyTorch's order.   dy [N, D/2, H/2, W/2, C]  x -> dx as x
#pragma once
#include <cstdint>

#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

/// Parameters of the kernels of max_pool3d.cu; extents are those of the outputs. Backward, y is dx.
struct MaxPoolArgs {
  Elements x, dy;
  Results y;
  int64_t count, height, width, channels;
};

/// One row of outputs and the four rows of inputs (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1) under it.
struct MaxPoolRow {
  const float* x[4];  // [2 * count][channels]
  int64_t count, channels;
};
SFR_DECLARE_LEVELS(void max_pool_row(const MaxPoolRow& row, float* y))
SFR_DECLARE_LEVELS(void max_pool_gradient_row(const MaxPoolRow& row, const float* dy, float* const dx[4]))

}  // namespace sfr
