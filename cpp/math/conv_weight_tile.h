// Register tiles of the weight gradients: CI input channels times NB registers of output channels (16
// accumulators at v4) over the positions of some rows: per position CI broadcasts, NB loads, CI*NB fused
// multiply-adds, so the FMA units limit. Sums are added to memory once per call.
#pragma once

#include "math/conv_load.h"
#include "math/simd.h"

namespace sfr::SFR_LEVEL {

constexpr int64_t kMaxPassRows = 112;

/// Rows of one pass: x_rows[i] already points at the tap's first voxel, dy_rows[i] at [voxel][NB*lanes].
struct PassRows {
  const float* x[kMaxPassRows];
  const float* dy[kMaxPassRows];
  int64_t count;
  int64_t voxels;
};

template <int CI, int NB>
static void tile(const PassRows& rows, int64_t offset, float* out, int64_t pitch, int channels,
                 int lanes_valid) {
  vf acc[CI][NB];
#pragma GCC unroll 16
  for (int c = 0; c < CI; ++c) {
#pragma GCC unroll 4
    for (int b = 0; b < NB; ++b) acc[c][b] = zero();
  }
  for (int64_t i = 0; i < rows.count; ++i) {
    const float* p = rows.x[i] + offset;
    const float* g = rows.dy[i];
    for (int64_t v = 0; v < rows.voxels; ++v, p += kSpan, g += NB * kLanes) {
      vf gv[NB];
#pragma GCC unroll 4
      for (int b = 0; b < NB; ++b) gv[b] = load(g + b * kLanes);
#pragma GCC unroll 16
      for (int c = 0; c < CI; ++c) {
        const vf xv = broadcast(p[c]);
#pragma GCC unroll 4
        for (int b = 0; b < NB; ++b) acc[c][b] += xv * gv[b];
      }
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < CI; ++c) {
    if (c < channels) {
#pragma GCC unroll 4
      for (int b = 0; b < NB; ++b) {
        float* o = out + c * pitch + b * kLanes;
        const int lanes = lanes_valid - b * kLanes;
        if (lanes >= kLanes) {
          store(o, load(o) + acc[c][b]);
        } else if (lanes > 0) {
          store_partial(o, load_partial(o, lanes) + acc[c][b], lanes);
        }
      }
    }
  }
}

struct TileKind {
  int ci, nb;
  void (*run)(const PassRows&, int64_t, float*, int64_t, int, int);
};

#if SFR_REGISTERS == 32
static const TileKind kWide = {8, 2, &tile<8, 2>}, kNarrow = {16, 1, &tile<16, 1>};
#else
static const TileKind kWide = {4, 2, &tile<4, 2>}, kNarrow = {8, 1, &tile<8, 1>};
#endif
static const TileKind kNarrowFew = {8, 1, &tile<8, 1>};  // at most 8 input channels

}  // namespace sfr::SFR_LEVEL
