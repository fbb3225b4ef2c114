// softmax: y = e^(x - max) / sum over the last axis.   x [.., C] f32 -> y [.., C]; C >= 1
// softmax_backward(y, dy) -> dx = y (dy - sum(dy y)).
#pragma once
#include <cstdint>

#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

/// Parameters of the kernels of softmax.cu; backward, x is the forward pass's y, and y the result dx.
struct SoftmaxArgs {
  Elements x;  // the result, in the backward pass
  const float* dy;
  float* y;
  int64_t rows, channels;
};

// y may be x.
SFR_DECLARE_LEVELS(void softmax_rows(const float* x, int64_t rows, int64_t channels, float* y))
SFR_DECLARE_LEVELS(void softmax_backward_rows(const float* y, const float* dy, int64_t rows, int64_t channels,
                                              float* dx))

}  // namespace sfr
