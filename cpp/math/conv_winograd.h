// What the SIMD levels offer for 3D convolutions with a kernel of 3 along y and x by Winograd's algorithm:
// plans (functions of the shape alone) and one chunk of work. Called by conv3d.cpp only; plain data, no
// inline functions, since level sources include it too.
#pragma once

#include "math/conv_rows.h"

namespace sfr {

struct WinogradRowsPlan {
  int64_t pack_chunks;   // pieces in which the weights are transformed, before any chunk
  size_t packed_bytes;   // transformed weights, shared by all threads, multiple of 64
  int64_t chunks;        // independent pieces of work, each writes outputs of its own
  size_t scratch_bytes;  // per thread, multiple of 64
};

struct WinogradWeightsPlan {
  int64_t chunks;
  int64_t parts;          // partial results to be added up
  int64_t part_stride;    // floats for one part: transformed weights, then dbias [cout]
  int64_t reduce_chunks;  // pieces in which winograd_reduce_weights adds them up
  size_t scratch_bytes;   // per thread, multiple of 64
};

/// Whether the algorithm is at hand for this shape (the same for forward and both gradients).
SFR_DECLARE_LEVELS(bool winograd_applies(const Conv3dShape& shape))

SFR_DECLARE_LEVELS(void winograd_rows_plan(const Conv3dShape& shape, WinogradRowsPlan* plan))
SFR_DECLARE_LEVELS(void winograd_pack_weights(const ConvRowsJob& job, int64_t chunk, float* packed))
SFR_DECLARE_LEVELS(void winograd_rows_chunk(const ConvRowsJob& job, const float* packed, int64_t chunk,
                                            float* scratch))

SFR_DECLARE_LEVELS(void winograd_weights_plan(const Conv3dShape& shape, WinogradWeightsPlan* plan))
/// job.dweights and job.dbias stand for the two pieces of part 0.
SFR_DECLARE_LEVELS(void winograd_weights_chunk(const ConvWeightsJob& job, int64_t chunk, float* scratch))
/// Adds up all parts, in double and in order (into the first), and transforms them back to dweights [kd, 3,
/// 3, cin, cout].
SFR_DECLARE_LEVELS(void winograd_reduce_weights(const Conv3dShape& shape, float* partial, int64_t chunk,
                                                float* dweights))

}  // namespace sfr
