// relu: y = max(x, 0) (NaN stays NaN).   x [..] -> y [..]; f32
//   relu_backward: dx = dy where y > 0, else 0.   dy [..], y [..] -> dx [..]   (the gradient at 0 is 0, as in
//   torch)
// gelu: y = x * Phi(x), Phi the normal distribution function (equals torch.nn.GELU(), the erf form).
//   gelu_backward: dx = dy * (Phi(x) + x * phi(x)).   dy [..], x [..] -> dx [..]
// sigmoid: y = 1 / (1 + e^-x); 0 and 1 far out, not NaN. The gradient is dy y (1 - y).
// tanh: y = tanh(x), to a few ulp near 0 too.              The gradient is dy (1 - y^2).
// All may run in place of their first input. Errors: another dtype than f32, shapes that differ.
#pragma once
#include <cstdint>

#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

/// Parameters of the kernels of activation.cu: y[i] = f(a[i]) or f(a[i], b[i]).
struct ActivationArgs {
  Elements a, b;
  Results y;
  int64_t count;
};

SFR_DECLARE_LEVELS(void relu_row(const float* x, float* y, int64_t count))
SFR_DECLARE_LEVELS(void relu_backward_row(const float* dy, const float* y, float* dx, int64_t count))
SFR_DECLARE_LEVELS(void sigmoid_row(const float* x, float* y, int64_t count))
SFR_DECLARE_LEVELS(void tanh_row(const float* x, float* y, int64_t count))
SFR_DECLARE_LEVELS(void gelu_row(const float* x, float* y, int64_t count))
SFR_DECLARE_LEVELS(void gelu_backward_row(const float* dy, const float* x, float* dx, int64_t count))

}  // namespace sfr
