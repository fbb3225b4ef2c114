// batch_norm: y = relu?((x - mean) / sqrt(variance + epsilon) * weight + bias) + skip?, per channel
// (Ioffe & Szegedy 2015; equals torch.nn.BatchNorm3d).
//   x [.., C]  weight [C]  bias [C]  running_mean? [C]  running_variance? [C] (needed unless training)
//   skip? [.., C]
//   -> y [.., C], mean [C], variance [C] (biased; of the batch when training, else the running ones)
//   relu and skip are set by the pass fuse_batch_norm; batch_norm_update moves the running statistics.
//   Any C; at least one element per channel. May run in place of x or skip. Statistics are taken
//   block by block about a center within a deviation of the block's mean and combined in double, so a mean
//   far from 0 costs no digits.
//   No gradient flows to the running statistics: asking for it with training false throws Error(usage).
// batch_norm_backward: dy [.., C]  x [.., C]  weight [C]  bias [C]  mean [C]  variance [C]
//   dmean? [C]  dvariance? [C] (gradients of the outputs mean and variance; ignored unless training)
//   -> dx [.., C], dweight [C], dbias [C]. Same attributes as forward. The mask of relu is computed again
//   from x; the gradient of skip is dy. May run in place of dy.
// batch_norm_statistics: x [.., C] -> mean [C], variance [C], as batch_norm takes them when training.
// batch_norm_table: weight [C]  bias [C]  mean [C]  variance [C] -> [3, C]: mean, weight / sqrt(variance +
//   epsilon), bias; what a consumer needs that normalises while it loads. Both are made by the pass
//   normalise_on_load and have no gradient.
// batch_norm_update: running_mean [C] (state)  running_variance [C] (state)  mean [C]  variance [C] (biased)
//   running = (1 - momentum) running + momentum new, where the new variance is the unbiased one,
//   variance * count / (count - 1), with `count` elements per channel (as torch does; count 1 is left
//   biased).
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/columns.h"
#include "cuda/elements.h"
#include "device/fault.h"
#include "math/levels.h"

namespace sfr {

struct BatchNormAttributes {
  bool training = true;
  bool relu = false;
  double epsilon = 1e-5;
  template <class V>
  void visit(V& v) {
    v("training", training);
    v("relu", relu);
    v("epsilon", epsilon);
  }
};

struct BatchNormTableAttributes {
  double epsilon = 1e-5;
  template <class V>
  void visit(V& v) {
    v("epsilon", epsilon);
  }
};

/// Index of the optional input `skip`.
inline constexpr size_t kBatchNormSkip = 5;

struct BatchNormUpdateAttributes {
  double momentum = 0.1;
  int64_t count = 0;  // elements per channel
  template <class V>
  void visit(V& v) {
    v("momentum", momentum);
    v("count", count);
  }
};

/// Parameters of the kernels of batch_norm.cu, which instance_norm uses per sample. Weight, bias, skip,
/// dmean, dvariance, dweight and dbias may be null; so is what a kernel does not use. `scale`, `slope` and
/// `offset` are tables [channels] in work memory: dx = scale g + slope (x - mean) + offset.
struct BatchNormArgs {
  int64_t rows, channels;
  Elements x, skip, dy;
  const float *weight, *bias, *running_mean, *running_variance, *dmean, *dvariance;
  Results y;
  float *mean, *variance, *dweight, *dbias;
  float *scale, *slope, *offset;
  ColumnSums sums;
  double epsilon;
  bool training, relu;
};

struct KernelContext;
/// Sizes, tables and attributes; tensors are the caller's to set. `work` holds normalise_cuda_work_bytes.
BatchNormArgs normalise_args(const BatchNormAttributes& attributes, int64_t rows, int64_t channels,
                             void* work);
size_t normalise_cuda_work_bytes(int64_t rows, int64_t channels);
/// Mean and variance of x alone.
void launch_statistics(const KernelContext& c, const BatchNormArgs& args);
void launch_normalise(const KernelContext& c, const BatchNormArgs& args);
void launch_normalise_backward(const KernelContext& c, const BatchNormArgs& args);

/// Of the kernel of batch_norm_update.
struct BatchNormUpdateArgs {
  float *running_mean, *running_variance;
  const float *mean, *variance;
  const DeviceFault* fault;
  int64_t channels;
  double momentum, unbiased;
};

// The inner loops run over rows of channels as over one long row whose parameters repeat every `width`
// floats: width is the multiple of C that fills whole vectors, or C where that would be long. Tables below
// are [width].

/// sums = sum of d = x - center, squares = sum of d * d, over count floats (a multiple of C): entries
/// [0, channels) hold the results, the rest of the tables is scratch.
SFR_DECLARE_LEVELS(void channel_moments(const float* x, int64_t count, int64_t width, int64_t channels,
                                        const float* center, float* sums, float* squares))

/// y = relu?((x - mean) * scale + bias) + skip?
struct BatchNormRows {
  const float* x;
  const float* skip;  // or null
  float* y;
  int64_t count, width;
  const float *mean, *scale, *bias;
  bool relu;
  bool stream;  // write y past the caches; y is aligned to 64 bytes then
};
SFR_DECLARE_LEVELS(void batch_norm_rows(const BatchNormRows& rows))

/// With g = dy where the unit was open: sums = sum of g, products = sum of g * (x - mean), in entries
/// [0, channels); and dx = scale * g + slope * (x - mean) + offset.
struct BatchNormGradientRows {
  const float *dy, *x;
  float* dx;
  int64_t count, width, channels;
  const float *mean, *scale, *bias;
  const float *slope, *offset;
  float *sums, *products;
  bool relu;
};
SFR_DECLARE_LEVELS(void batch_norm_gradient_sums(const BatchNormGradientRows& rows))
SFR_DECLARE_LEVELS(void batch_norm_gradient_rows(const BatchNormGradientRows& rows))

}  // namespace sfr
