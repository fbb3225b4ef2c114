// row_max: y = the largest of the last axis.   x [.., C] f32, C >= 1 -> y [..] f32
// Rows may be long (all voxels of a sample): each is cut into chunks. NaN gives no promise. Not
// differentiable.
#pragma once
#include <cstdint>

namespace sfr {

/// Parameters of the kernel of row_max.cu.
struct RowMaxArgs {
  const float* x;
  float* y;
  int64_t rows, length;
};

}  // namespace sfr
