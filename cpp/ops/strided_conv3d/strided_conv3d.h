// Convolutions whose kernel and stride are a block of voxels; attribute block [bd, bh, bw] >= 1, f32. A
// block's voxels in order (z, y, x, channel) are a row of B = bd*bh*bw*C floats, so both are matrix products.
// strided_conv3d: equals torch.nn.functional.conv3d with that stride.
//   x [N, D, H, W, C]  weight [B, Cout]  bias? [Cout]  norm? [3, C] -> y [N, D/bd, H/bh, W/bw, Cout]
//   With norm (see batch_norm_table) relu((x - mean) * scale + bias) takes the place of x while blocks are
//   gathered; set by the pass normalise_on_load after gradients are made: no gradient flows to it.
// transposed_conv3d: equals torch.nn.functional.conv_transpose3d with that stride.
//   x [N, D, H, W, Cin]  weight [Cin, B]  bias? [C] -> y [N, D*bd, H*bh, W*bw, C]
// Backward ops, with the same attribute:
//   strided_conv3d_backward_input: dy, weight -> dx
//   strided_conv3d_backward_weight: x, dy, norm? -> dweight, and with attribute bias also dbias [Cout]
//   transposed_conv3d_backward_input: dy, weight -> dx
//   transposed_conv3d_backward_weight: x, dy -> dweight, and with attribute bias also dbias [C]
// Errors: Error(shape) when the block does not divide a volume, channels disagree or a tensor is empty.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "cuda/elements.h"

namespace sfr {

/// Index of the optional input `norm` of strided_conv3d and of strided_conv3d_backward_weight.
inline constexpr size_t kStridedConv3dNorm = 3, kStridedConv3dWeightNorm = 2;

/// Kernel and stride (depth, height, width).
struct StridedConv3dAttributes {
  std::array<int64_t, 3> block{1, 1, 1};
  template <class V>
  void visit(V& v) {
    v("block", block);
  }
};

/// The same, and whether the gradient of the bias is computed along with that of the weight.
struct StridedConv3dWeightAttributes {
  std::array<int64_t, 3> block{1, 1, 1};
  bool bias = false;
  template <class V>
  void visit(V& v) {
    v("block", block);
    v("bias", bias);
  }
};

/// Parameters of the kernels of strided_conv3d.cu. The fine volume is [n, d bd, h bh, w bw, channels], its
/// blocks the rows of a matrix; `rows`: the other matrix with as many rows, [n d h w, columns].
struct BlockProductArgs {
  int64_t d, h, w, bd, bh, bw, channels, columns;
  int64_t row_count, row_floats;
  Elements volume, rows;
  const float *weight, *bias, *norm;  // null where a kernel has none
  Results y;
  int64_t weight_row, weight_column;  // strides of weight, or of y where that is the weight's gradient
  int32_t parts;                      // of the rows, in the weight gradient
};

}  // namespace sfr
