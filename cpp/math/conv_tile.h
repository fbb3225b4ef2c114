// Register tiles of the convolutions: R positions along a row times NB registers of output channels.
//
// Per tile and (kernel row, tap along the row, input channel): NB loads of weights, R broadcasts of inputs,
// R*NB fused multiply-adds into R*NB accumulators (28 of 32 registers at v4, 14 of 16 at v3, 12 of 16 without
// FMA). Products 2*R*NB*lanes per 4*(R + NB*lanes) bytes from L1/L2: bound by the FMA units from R*NB = 8 on.
// Every output is one chain of adds in row-tap-channel order, whatever the tile.
#pragma once

#include "math/conv_load.h"
#include "math/simd.h"

namespace sfr::SFR_LEVEL {

constexpr int64_t kMaxRows = 49;  // kernel rows whose pointers a tile is given at once

/// What a tile reads; rows[t] is a kernel row's x = 0 including the left border, weights[t] its
/// [kw][cin][NB*lanes].
struct TileJob {
  const float* rows[kMaxRows];
  const float* weights[kMaxRows];
  int64_t row_count;
  int64_t kw;
  int64_t channels;
  int64_t block_floats;
  const float* bias;  // padded to the block; null: add to what y holds
  int64_t y_pitch;    // floats between voxels of y
  int lanes_valid;    // output channels of this block that exist
};

template <int NB, int R, int SPAN>
static void tile(const TileJob& job, int64_t x0, float* y, int valid) {
  vf acc[R][NB];
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int b = 0; b < NB; ++b) acc[r][b] = zero();
  }
  for (int64_t t = 0; t < job.row_count; ++t) {
    const float* w = job.weights[t];
    for (int64_t dx = 0; dx < job.kw; ++dx) {
      const float* block = job.rows[t] + (x0 + dx) * SPAN;
      for (int64_t c0 = 0; c0 < job.channels; c0 += SPAN, block += job.block_floats) {
        const int64_t count = smaller(SPAN, job.channels - c0);
        const float* p = block;
        for (int64_t c = 0; c < count; ++c, ++p, w += NB * kLanes) {
          vf wv[NB];
#pragma GCC unroll 4
          for (int b = 0; b < NB; ++b) wv[b] = load(w + b * kLanes);
#pragma GCC unroll 32
          for (int r = 0; r < R; ++r) {
            const vf xv = broadcast(p[r * SPAN]);
#pragma GCC unroll 4
            for (int b = 0; b < NB; ++b) acc[r][b] += xv * wv[b];
          }
        }
      }
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
    if (r < valid) {
      float* out = y + r * job.y_pitch;
#pragma GCC unroll 4
      for (int b = 0; b < NB; ++b) {
        const int lanes = job.lanes_valid - b * kLanes;
        float* o = out + b * kLanes;
        if (lanes >= kLanes) {
          store(o, acc[r][b] + (job.bias ? load(job.bias + b * kLanes) : load(o)));
        } else if (lanes > 0) {
          store_partial(o, acc[r][b] + (job.bias ? load(job.bias + b * kLanes) : load_partial(o, lanes)),
                        lanes);
        }
      }
    }
  }
}

struct TileKind {
  int nb, r;
  int64_t span;
  void (*run)(const TileJob&, int64_t, float*, int);
};

#define SFR_TILE(nb, r) \
  { nb, r, kSpan, &tile<nb, r, kSpan> }
#define SFR_THIN_TILE(r) \
  { 1, r, 1, &tile<1, r, 1> }
#if SFR_REGISTERS == 32
static const TileKind kTiles[] = {
    SFR_TILE(2, 14),   SFR_TILE(2, 12),   SFR_TILE(2, 10),  SFR_TILE(2, 8),  SFR_TILE(2, 7),
    SFR_TILE(2, 6),    SFR_TILE(2, 5),    SFR_TILE(2, 4),   SFR_TILE(2, 2),  SFR_TILE(4, 7),
    SFR_TILE(4, 6),    SFR_TILE(4, 5),    SFR_TILE(4, 4),   SFR_TILE(4, 3),  SFR_TILE(4, 2),
    SFR_TILE(4, 1),    SFR_TILE(1, 28),   SFR_TILE(1, 24),  SFR_TILE(1, 20), SFR_TILE(1, 16),
    SFR_TILE(1, 12),   SFR_TILE(1, 8),    SFR_TILE(1, 4),   SFR_TILE(1, 1),  SFR_THIN_TILE(28),
    SFR_THIN_TILE(24), SFR_THIN_TILE(16), SFR_THIN_TILE(8), SFR_THIN_TILE(1)};
#elif SFR_VECTOR_BYTES == 32
static const TileKind kTiles[] = {
    SFR_TILE(2, 6),  SFR_TILE(2, 5),    SFR_TILE(2, 4),    SFR_TILE(2, 3),   SFR_TILE(2, 2),  SFR_TILE(2, 1),
    SFR_TILE(1, 14), SFR_TILE(1, 12),   SFR_TILE(1, 10),   SFR_TILE(1, 8),   SFR_TILE(1, 6),  SFR_TILE(1, 4),
    SFR_TILE(1, 1),  SFR_THIN_TILE(14), SFR_THIN_TILE(12), SFR_THIN_TILE(8), SFR_THIN_TILE(1)};
#else
static const TileKind kTiles[] = {SFR_TILE(2, 6), SFR_TILE(2, 5),   SFR_TILE(2, 4),   SFR_TILE(2, 3),
                                  SFR_TILE(2, 2), SFR_TILE(2, 1),   SFR_TILE(1, 8),   SFR_TILE(1, 4),
                                  SFR_TILE(1, 1), SFR_THIN_TILE(8), SFR_THIN_TILE(4), SFR_THIN_TILE(1)};
#endif

/// Cycles per output row by a simple count: FMAs at two per cycle but never under their latency, loads at two
/// per cycle, half a cycle of loop; the first of equals wins, so the list stands in order of preference.
static double row_cycles(const TileKind& kind, int64_t width, int64_t channels) {
  const double products = 0.5 * kind.r * kind.nb, loads = 0.5 * (kind.r + kind.nb);
  double cycles = products > loads ? products : loads;
  if (cycles < 4) cycles = 4;
  const int64_t blocks = div_up(channels, kind.nb * kLanes);
  return (cycles + 0.5) * static_cast<double>(div_up(width, kind.r) * blocks);
}

/// The tile for rows of `width` positions and `channels` output channels whose inputs lie in blocks of
/// `span`.
static const TileKind& choose_tile(int64_t width, int64_t channels, int64_t span) {
  const TileKind* chosen = nullptr;
  double best = 0;
  for (const TileKind& kind : kTiles) {
    if (kind.span != span) continue;
    const double cycles = row_cycles(kind, width, channels);
    if (chosen && cycles >= best) continue;
    best = cycles;
    chosen = &kind;
  }
  return *chosen;
}

}  // namespace sfr::SFR_LEVEL
