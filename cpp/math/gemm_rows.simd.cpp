// Matrix product of a block of rows: tiles of 14 x 32 (v4), 6 x 16 (v3) or 4 x 8.
//
// B lies in panels of two vectors of columns, [k][columns]; a block of 168 rows of A is packed as
// [tile][k][rows] for a depth of 384 and stays in L2 (258 KB), while each panel's 384 x 32 block (49 KB) is
// used by 12 tiles in turn. Per k a tile loads 2 vectors, broadcasts 14 floats and does 28 fused
// multiply-adds: bound by the FMA units. Traffic beyond L2 per tile is B once per 168 rows and C twice per
// 384 k. Each element of C is one chain of adds per k block, the same for every tile size, so how rows and
// panels are shared out cannot change a bit.
#include "math/gemm_rows.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

#if SFR_REGISTERS == 32
constexpr int kTileRows = 14;
#elif SFR_VECTOR_BYTES == 32
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif
constexpr int64_t kPanel = 2 * kLanes;
constexpr int64_t kBlockRows = 168 / kTileRows * kTileRows;
constexpr int64_t kDepth = 384;
/// With fewer panels than this per packed block of A, A is read in place instead.
constexpr int64_t kPanelsToPack = 3;

SFR_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

void gemm_tile_sizes(GemmTileSizes* sizes) {
  *sizes = GemmTileSizes{kPanel, kBlockRows, kDepth};
}

void gemm_pack_panels(float* dst, const float* b, int64_t ldb, int64_t k, int64_t n, bool transposed,
                      int64_t first, int64_t last) {
  for (int64_t panel = first; panel < last; ++panel) {
    float* d = dst + panel * k * kPanel;
    const int64_t column = panel * kPanel, count = smaller(kPanel, n - column);
    if (transposed) {
      if (count < kPanel) __builtin_memset(d, 0, static_cast<size_t>(k * kPanel) * sizeof(float));
      transpose(d, kPanel, b + column * ldb, ldb, count, k);
      continue;
    }
    const int first_lanes = static_cast<int>(smaller(kLanes, count)),
              last_lanes = static_cast<int>(count) - first_lanes;
    for (int64_t i = 0; i < k; ++i, d += kPanel) {
      const float* s = b + i * ldb + column;
      store(d, count == kPanel ? load(s) : load_partial(s, first_lanes));
      store(d + kLanes, count == kPanel ? load(s + kLanes) : load_partial(s + kLanes, last_lanes));
    }
  }
}

/// A piece of the depth. Element (r, k) of A at a[k * lda + r] when DEPTH_MAJOR (packed, or stored
/// transposed), else at a[r * lda + k].
struct TileDepth {
  const float *a, *b;
  int64_t depth;
};

/// One tile's operands: a block of the depth, then the tail (depth 0 where there is none).
struct TileJob {
  TileDepth parts[2];
  int64_t lda;
  float* c;
  int64_t ldc;
  const float* bias;  // at the panel's first column, or null
  bool add_c;
  int rows, columns;  // that exist
};

template <int R, bool DEPTH_MAJOR>
static void tile(const TileJob& job) {
  vf acc[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = zero();
  const int64_t row_pitch = DEPTH_MAJOR ? 1 : job.lda, step = DEPTH_MAJOR ? job.lda : 1;
  for (const TileDepth& part : job.parts) {
    const float *a = part.a, *b = part.b;
    for (int64_t k = 0; k < part.depth; ++k, a += step, b += kPanel) {
      const vf b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const vf av = broadcast(a[r * row_pitch]);
        acc[r][0] += av * b0;
        acc[r][1] += av * b1;
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (r < job.rows) {
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const int lanes = job.columns - i * kLanes;
        float* c = job.c + r * job.ldc + i * kLanes;
        vf sum = acc[r][i];
        if (lanes >= kLanes) {
          if (job.add_c) sum += load(c);
          if (job.bias) sum += load(job.bias + i * kLanes);
          store(c, sum);
        } else if (lanes > 0) {
          if (job.add_c) sum += load_partial(c, lanes);
          if (job.bias) sum += load_partial(job.bias + i * kLanes, lanes);
          store_partial(c, sum, lanes);
        }
      }
    }
  }
}

struct TileKind {
  int rows;
  void (*depth_major)(const TileJob&);
};

#define SFR_TILE(r) \
  { r, &tile<r, true> }
#if SFR_REGISTERS == 32
static const TileKind kTiles[] = {SFR_TILE(1), SFR_TILE(2),  SFR_TILE(4),  SFR_TILE(6),
                                  SFR_TILE(8), SFR_TILE(10), SFR_TILE(12), SFR_TILE(14)};
#elif SFR_VECTOR_BYTES == 32
static const TileKind kTiles[] = {SFR_TILE(1), SFR_TILE(2), SFR_TILE(4), SFR_TILE(6)};
#else
static const TileKind kTiles[] = {SFR_TILE(1), SFR_TILE(2), SFR_TILE(4)};
#endif

/// The smallest tile that covers `rows` rows.
static const TileKind& tile_kind(int64_t rows) {
  for (const TileKind& kind : kTiles) {
    if (kind.rows >= rows) return kind;
  }
  return kTiles[sizeof(kTiles) / sizeof(kTiles[0]) - 1];
}

/// Packs a matrix of `rows` rows and `depth` columns as [tile][k][tile rows]; missing rows become zeros.
/// Tiles begin `tile_floats` per row of a tile apart.
static void pack_tiles(const float* a, int64_t lda, bool transposed, int64_t rows, int64_t depth,
                       int64_t tile_floats, float* dst) {
  for (int64_t r = 0; r < rows; r += kTileRows) {
    const int64_t count = smaller(kTileRows, rows - r), pitch = tile_kind(count).rows;
    if (count < pitch) __builtin_memset(dst, 0, static_cast<size_t>(pitch * depth) * sizeof(float));
    if (transposed) {
      const float* s = a + r;
      for (int64_t k = 0; k < depth; ++k, s += lda) {
        for (int64_t i = 0; i < count; ++i) dst[k * pitch + i] = s[i];
      }
    } else {
      transpose(dst, pitch, a + r * lda, lda, count, depth);
    }
    dst += pitch * tile_floats;
  }
}

/// All panels for rows [m0, m0 + rows) and depth [k0, k0 + depth); the tail comes with the last piece of
/// depth.
static void run_block(const GemmRows& job, int64_t m0, int64_t rows, int64_t k0, int64_t depth,
                      float* scratch) {
  const int64_t tail = k0 + depth == job.k ? job.tail_k : 0, tile_floats = depth + tail;
  // In place every row of a tile must exist: all even counts have a tile of their own.
  const bool whole = rows % (job.a_transposed ? 2 : kTileRows) == 0;
  const bool pack = job.last_panel - job.first_panel >= kPanelsToPack || !whole || tail > 0;
  const float* a = job.a_transposed ? job.a + k0 * job.lda + m0 : job.a + m0 * job.lda + k0;
  if (pack) pack_tiles(a, job.lda, job.a_transposed, rows, depth, tile_floats, scratch);
  for (int64_t r = 0; tail > 0 && r < rows; r += kTileRows) {
    const int64_t count = smaller(kTileRows, rows - r);
    pack_tiles(job.tail_a + (m0 + r) * job.ld_tail_a, job.ld_tail_a, false, count, tail, tail,
               scratch + r * tile_floats + tile_kind(count).rows * depth);
  }
  for (int64_t panel = job.first_panel; panel < job.last_panel; ++panel) {
    const int64_t column = panel * kPanel;
    TileJob t;
    t.lda = job.lda;
    t.parts[0].b = job.packed_b + (panel * job.packed_k + k0) * kPanel;
    t.parts[0].depth = depth;
    t.parts[1].b = tail > 0 ? job.packed_tail_b + panel * tail * kPanel : nullptr;
    t.parts[1].depth = tail;
    t.ldc = job.ldc;
    t.bias = job.bias && k0 == 0 ? job.bias + column : nullptr;
    t.add_c = job.accumulate || k0 > 0;
    t.columns = static_cast<int>(smaller(kPanel, job.n - column));
    for (int64_t r = 0; r < rows; r += kTileRows) {
      t.rows = static_cast<int>(smaller(kTileRows, rows - r));
      t.c = job.c + (m0 + r) * job.ldc + column;
      const TileKind& kind = tile_kind(t.rows);
      if (pack) {
        t.parts[0].a = scratch + r * tile_floats;
        t.parts[1].a = t.parts[0].a + kind.rows * depth;
        t.lda = kind.rows;
        kind.depth_major(t);
      } else if (job.a_transposed) {
        t.parts[0].a = a + r;
        kind.depth_major(t);
      } else {
        t.parts[0].a = a + r * job.lda;
        tile<kTileRows, false>(t);
      }
    }
  }
}

void gemm_rows(const GemmRows& job, float* scratch) {
  for (int64_t m0 = 0; m0 < job.m; m0 += kBlockRows) {
    const int64_t rows = smaller(kBlockRows, job.m - m0);
    for (int64_t k0 = 0; k0 < job.k; k0 += kDepth) {
      run_block(job, m0, rows, k0, smaller(kDepth, job.k - k0), scratch);
    }
  }
}

}  // namespace sfr::SFR_LEVEL
