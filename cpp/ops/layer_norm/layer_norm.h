// layer_norm: y = (x - mean) * rstd * weight + bias over the last axis (Ba et al. 2016; equals
// torch.nn.LayerNorm, and segment-anything's LayerNorm2d on channels-last activations).
//   x [.., C], weight [C], bias [C] f32, C >= 1 -> y [.., C], mean [..], rstd [..] = 1 / sqrt(variance +
//   epsilon), biased variance. The mean is corrected once, so inputs far from 0 (1e4) keep their digits.
//   attribute epsilon (1e-5; segment-anything's encoder uses 1e-6). Gradient: x, weight, bias.
// layer_norm_backward(x, weight, mean, rstd, dy?, dmean?, drstd?) -> dx, and with attribute parameters also
//   dweight [C], dbias [C]: f32 sums over up to 64 rows, then double, in a fixed order.
#pragma once
#include <cstdint>

#include "cuda/columns.h"
#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

struct LayerNormAttributes {
  double epsilon = 1e-5;
  template <class V>
  void visit(V& v) {
    v("epsilon", epsilon);
  }
};

struct LayerNormBackwardAttributes {
  bool parameters = true;
  template <class V>
  void visit(V& v) {
    v("parameters", parameters);
  }
};

/// Rows of x [rows, channels] and what belongs to them; dy, dmean and drstd may be null (zero).
struct LayerNormRows {
  const float *x, *weight, *mean, *rstd, *dy, *dmean, *drstd;
  float* dx;
  int64_t rows, channels;
};

/// Parameters of the kernels of layer_norm.cu; dy, dmean and drstd may be null, and what a kernel does not
/// use is. `sums` (dweight, dbias) over the rows lie in work memory.
struct LayerNormArgs {
  Elements x, dy;
  const float *weight, *bias, *mean, *rstd, *dmean, *drstd;
  Results y;
  float *mean_out, *rstd_out, *dweight, *dbias;
  ColumnSums sums;
  int64_t rows, channels;
  float epsilon;
};

SFR_DECLARE_LEVELS(void layer_norm_rows(const float* x, const float* weight, const float* bias, float epsilon,
                                        int64_t rows, int64_t channels, float* y, float* mean, float* rstd))
SFR_DECLARE_LEVELS(void layer_norm_backward_rows(const LayerNormRows& job))
// Adds to sums [2][channels] = (dweight, dbias); strip [2][channels] is work memory. dy is not null.
SFR_DECLARE_LEVELS(void layer_norm_parameter_sums(const LayerNormRows& job, double* sums, float* strip))

}  // namespace sfr
