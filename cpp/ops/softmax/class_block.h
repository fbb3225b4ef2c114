// Blocks of one register of positions x K classes, transposed from channels-last rows, for `*.simd.cpp`
// sources. With few classes a row is shorter than a register: work runs over positions, one register per
// class.
#pragma once

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

template <int kClasses>
SFR_INLINE void deinterleave(const float* __restrict x, float* __restrict block) {
  for (int lane = 0; lane < kLanes; ++lane)
    for (int k = 0; k < kClasses; ++k) block[k * kLanes + lane] = x[lane * kClasses + k];
}

template <int kClasses>
SFR_INLINE void interleave(const float* __restrict block, float* __restrict y) {
  for (int lane = 0; lane < kLanes; ++lane)
    for (int k = 0; k < kClasses; ++k) y[lane * kClasses + k] = block[k * kLanes + lane];
}

/// x [count][classes] -> block [classes][kLanes]; lanes from `count` on become 0.
SFR_INLINE void load_classes(const float* x, int64_t classes, int count, float* block) {
  if (count < kLanes) {
    for (int64_t k = 0; k < classes; ++k)
      for (int lane = 0; lane < kLanes; ++lane)
        block[k * kLanes + lane] = lane < count ? x[lane * classes + k] : 0.0f;
    return;
  }
  switch (classes) {
    case 2:
      return deinterleave<2>(x, block);
    case 3:
      return deinterleave<3>(x, block);
    default:
      return transpose(block, kLanes, x, classes, kLanes, classes);
  }
}

/// block [classes][kLanes] -> y [count][classes].
SFR_INLINE void store_classes(const float* block, int64_t classes, int count, float* y) {
  if (count < kLanes) {
    for (int lane = 0; lane < count; ++lane)
      for (int64_t k = 0; k < classes; ++k) y[lane * classes + k] = block[k * kLanes + lane];
    return;
  }
  switch (classes) {
    case 2:
      return interleave<2>(block, y);
    case 3:
      return interleave<3>(block, y);
    default:
      return transpose(y, classes, block, kLanes, classes, kLanes);
  }
}

}  // namespace sfr::SFR_LEVEL
