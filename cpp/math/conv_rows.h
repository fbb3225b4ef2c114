// What the SIMD levels offer for 3D convolution: plans (functions of the shape alone) and one chunk of work.
// Called by conv3d.cpp only; plain data, no inline functions, since level sources include it too.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "math/levels.h"

namespace sfr {

/// Stride 1, zero padding so that the output has the input's size, odd kernels, channels last:
/// x [n, d, h, w, cin], weights [kd, kh, kw, cin, cout], y [n, d, h, w, cout]. All extents >= 1.
struct Conv3dShape {
  int64_t n, d, h, w;
  int64_t cin, cout;
  int64_t kd, kh, kw;
};

/// What a convolution reads: x, or with `norm` relu((x - mean) * scale + bias) of the batch-norm before it,
/// so that the normalised volume need not exist; plus `skip`, itself normalised where `skip_norm` is given.
/// The norms are [3, cin]: mean, scale, bias. Outside the volume all is 0. Only Winograd's kernels take a
/// norm.
struct ConvInput {
  const float* x;
  const float* norm = nullptr;  // null: no skip either
  const float* skip = nullptr;
  const float* skip_norm = nullptr;
};

/// One forward pass. `flipped` reads `weights` as [kd, kh, kw, cout, cin] mirrored in the three kernel axes:
/// with shape.cin and shape.cout exchanged this is the gradient with respect to the input.
struct ConvRowsJob {
  Conv3dShape shape;
  ConvInput input;
  const float* weights;
  const float* bias;  // null: none
  float* y;
  bool flipped;
  bool stream;  // Winograd: write y past the caches; y is aligned to 64 bytes then
};

struct ConvRowsPlan {
  int64_t chunks;        // independent pieces of work, each writes outputs of its own
  size_t scratch_bytes;  // per thread, multiple of 64
};

/// One weight gradient. Chunks of part p overwrite disjoint pieces of dweights + p * part_stride [taps, cin,
/// cout] and dbias + p * part_stride [cout].
struct ConvWeightsJob {
  Conv3dShape shape;
  ConvInput input;
  const float* dy;
  float* dweights;
  float* dbias;
  int64_t part_stride;  // floats
};

struct ConvWeightsPlan {
  int64_t chunks;
  int64_t parts;         // partial results to be added up; 1: none
  int64_t part_stride;   // floats for one part's dweights and dbias
  size_t scratch_bytes;  // per thread, multiple of 64
};

SFR_DECLARE_LEVELS(void conv_rows_plan(const Conv3dShape& shape, ConvRowsPlan* plan))
SFR_DECLARE_LEVELS(void conv_rows_chunk(const ConvRowsJob& job, int64_t chunk, float* scratch))
SFR_DECLARE_LEVELS(void conv_weights_plan(const Conv3dShape& shape, ConvWeightsPlan* plan))
SFR_DECLARE_LEVELS(void conv_weights_chunk(const ConvWeightsJob& job, int64_t chunk, float* scratch))

}  // namespace sfr
