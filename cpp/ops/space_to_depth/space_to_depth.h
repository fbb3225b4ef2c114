// space_to_depth: blocks of voxels become channels.   attribute block [bd, bh, bw] >= 1
//   x [N, D, H, W, C] -> y [N, D/bd, H/bh, W/bw, bd*bh*bw*C]; channel order (bd, bh, bw, C); f32
//   With a matrix product it is the convolution whose kernel and stride equal the block.
// depth_to_space: the inverse, plus a bias per channel; with a matrix product before it, the transposed
// convolution.
//   x [N, D, H, W, bd*bh*bw*C]  bias? [C] -> y [N, D*bd, H*bh, W*bw, C]
// Gradients are each other; that of the bias is the sum over all voxels (sum_to).
// Errors: Error(shape) when the block does not divide the volume (or the channels) exactly.
#pragma once
#include <array>
#include <cstdint>

#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

struct BlockAttributes {
  std::array<int64_t, 3> block{1, 1, 1};  // depth, height, width
  template <class V>
  void visit(V& v) {
    v("block", block);
  }
};

/// Parameters of the kernels of space_to_depth.cu: coarse extents and channels, block, channels of a voxel of
/// the fine volume.
struct BlockArgs {
  Elements x;
  const float* bias;
  Results y;
  int64_t count;  // elements
  int64_t height, width, channels;
  int32_t bd, bh, bw;
};

/// Copies `count` runs of `run` floats from src (pitch src_pitch) to dst (pitch dst_pitch), adding `added`
/// [run] unless it is null. `streamed`: past the caches, for a dst and pitches in whole cache lines.
SFR_DECLARE_LEVELS(void copy_runs(const float* src, int64_t src_pitch, float* dst, int64_t dst_pitch,
                                  int64_t run, int64_t count, const float* added, bool streamed))

}  // namespace sfr
