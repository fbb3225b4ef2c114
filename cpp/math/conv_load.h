// Input rows for the convolution kernels: copied once per kernel plane into a ring of rows with zero borders.
//
// A row lies as [channel block][voxel][kSpan] (kSpan = 16: one cache line per voxel and block, so that a
// tile's broadcasts have constant displacements; kSpan = 1 for very few channels). The borders along x are
// zeros, rows outside the volume along y and z are never asked for. Copying costs 3 rows per output row of a
// 3x3x3 kernel, 2 to 4 % of the products, and this is the place where a producer's normalisation can be
// applied.
#pragma once

#include "math/conv_rows.h"
#include "math/simd.h"

namespace sfr::SFR_LEVEL {

/// Channels per block of a row; inputs of at most kFewChannels channels lie in planes of one channel.
constexpr int64_t kSpan = 16;
constexpr int64_t kFewChannels = 4;

/// A ring of rows for each kernel plane: row y of plane t at slot y mod capacity.
struct RowRing {
  float* data;
  int64_t capacity;    // rows kept per plane
  int64_t width;       // voxels per row with borders
  int64_t span;        // kSpan or 1
  int64_t blocks;      // channel blocks per row
  int64_t row_floats;  // blocks * width * span
  int64_t border;      // zero voxels on the left
};

SFR_INLINE int64_t div_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
SFR_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
SFR_INLINE int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}
SFR_INLINE int64_t round_up(int64_t a, int64_t b) {
  return div_up(a, b) * b;
}

SFR_INLINE RowRing make_ring(float* data, int64_t capacity, int64_t width, int64_t border, int64_t channels,
                             int64_t span) {
  const int64_t blocks = div_up(channels, span);
  return RowRing{data, capacity, width, span, blocks, round_up(blocks * width * span, 16), border};
}

/// Floats that a ring with `planes` kernel planes occupies.
SFR_INLINE int64_t ring_floats(const RowRing& ring, int64_t planes) {
  return planes * ring.capacity * ring.row_floats;
}

SFR_INLINE float* ring_row(const RowRing& ring, int64_t plane, int64_t y) {
  return ring.data + (plane * ring.capacity + y % ring.capacity) * ring.row_floats;
}

/// Copies channels [0, channels) of `voxels` voxels (pitch floats apart) into one row of the ring.
[[maybe_unused]] static void load_row(const RowRing& ring, float* row, const float* src, int64_t voxels,
                                      int64_t pitch, int64_t channels) {
  if (ring.span == 1) {
    for (int64_t c = 0; c < channels; ++c) {
      float* dst = row + c * ring.width + ring.border;
      for (int64_t v = 0; v < voxels; ++v) dst[v] = src[v * pitch + c];
    }
    return;
  }
  const int64_t full = channels / kSpan, tail = channels % kSpan, block_floats = ring.width * kSpan;
  for (int64_t v = 0; v < voxels; ++v) {
    const float* s = src + v * pitch;
    float* d = row + (ring.border + v) * kSpan;
    for (int64_t b = 0; b < full; ++b, s += kSpan, d += block_floats) {
      for (int i = 0; i < kSpan; i += kLanes) store(d + i, load(s + i));
    }
    for (int64_t i = 0; i < tail; i += kLanes) {
      store(d + i, load_partial(s + i, static_cast<int>(smaller(kLanes, tail - i))));
    }
  }
}

}  // namespace sfr::SFR_LEVEL
