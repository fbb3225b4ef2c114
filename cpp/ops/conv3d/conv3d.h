// conv3d: 3D convolution, stride 1, odd kernel, zero padding to the same size (equals
// torch.nn.functional.conv3d with padding "same" after the axes are moved); f32
//   x [N, D, H, W, Cin]  weight [kd, kh, kw, Cin, Cout]  bias? [Cout]  norm? [3, Cin]  skip? (as x)
//   skip_norm? [3, Cin] -> y [N, D, H, W, Cout]
//   With norm (see batch_norm_table) relu((x - mean) * scale + bias) takes the place of x while rows are
//   loaded, plus skip, itself normalised where skip_norm is given. Set by the pass normalise_on_load, where
//   Winograd's kernel runs and after gradients are made: no gradient flows to these inputs.
// conv3d_backward_input: dy [N, D, H, W, Cout]  weight [kd, kh, kw, Cin, Cout] -> dx [N, D, H, W, Cin]
// conv3d_backward_weight: x [N, D, H, W, Cin]  dy [N, D, H, W, Cout]  norm?  skip?  skip_norm?, attributes
//   kernel [kd, kh, kw] and bias -> dweight [kd, kh, kw, Cin, Cout], and with bias also dbias [Cout]
// Errors: Error(shape) for an even kernel, channels that disagree, empty tensors.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "cuda/elements.h"

namespace sfr {

/// Index of the optional input `norm` of conv3d and of conv3d_backward_weight; skip and skip_norm follow it.
inline constexpr size_t kConv3dNorm = 3, kConv3dWeightNorm = 2;

/// Kernel extents (depth, height, width) and whether the gradient of the bias is computed along.
struct Conv3dWeightAttributes {
  std::array<int64_t, 3> kernel{1, 1, 1};
  bool bias = false;
  template <class V>
  void visit(V& v) {
    v("kernel", kernel);
    v("bias", bias);
  }
};

/// Parameters of the kernels of conv3d.cu. `x` is gathered, [n, d, h, w, in]: the input, or dy for the input
/// gradient. `dy`, [n, d, h, w, out], is for the weight gradient, `weight` for the others.
struct Conv3dArgs {
  Elements x, dy;
  const float *weight, *bias;
  Elements skip;  // skip, norm and skip_norm of x where it is the input; may be absent
  const float *norm, *skip_norm;
  Results y;
  int64_t n, d, h, w, in, out;
  int32_t kd, kh, kw;
  int32_t parts;  // of the voxels, in the weight gradient
};

}  // namespace sfr
