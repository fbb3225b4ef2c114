// Matrix product of a block of rows: tiles of 14 x 32 (v4), 6 x 16 (v3) or 4 x 8.
//
// B lies in panels of two vectors of columns, [k][columns]; a block of 168 rows of A is packed as
// [tile][k][rows] for a depth of 384 and stays in L2 (258 KB), while each panel's 384 x 32 block (49 KB) is
// used by 12 tiles in turn. Per k a tile loads 2 vectors, broadcasts 14 floats and does 28 fused
// multiply-adds: bound by the FMA units. Traffic beyond L2 per tile is B once per 168 rows and C twice per
// 384 k. Each element of C is one chain of adds per k block, the same for every tile size, so how rows and
// panels are shared out cannot change a bit.
//
// bf16 products take the same tiles with the same loads. Where the CPU multiplies pairs (level v4_bf16), each
// place of the packed matrices holds two elements of k, and a tile does twice the work per load: 1.8 times
// the speed. Elsewhere B is widened and A rounded while they are packed, and the f32 tile multiplies them.
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
#if defined(__AVX512BF16__)
constexpr int64_t kPerPlace = 2;
#else
constexpr int64_t kPerPlace = 1;
#endif
/// With fewer panels than this per packed block of A, A is read in place instead.
constexpr int64_t kPanelsToPack = 3;

SFR_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

void gemm_tile_sizes(GemmTileSizes* sizes) {
  *sizes = GemmTileSizes{kPanel, kBlockRows, kDepth, kPerPlace};
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

/// A place of a packed bf16 matrix.
typedef uint32_t __attribute__((may_alias)) Place;

/// Places of `count` elements of two neighbouring k, `step` apart; `second` is null behind an odd depth's
/// end.
static void fill_places(Place* d, const Bf16* first, const Bf16* second, int64_t step, int64_t count) {
  if (kPerPlace == 1) {
    for (int64_t c = 0; c < count; ++c) d[c] = static_cast<uint32_t>(first[c * step].bits) << 16;
  } else if (second) {
    for (int64_t c = 0; c < count; ++c)
      d[c] = first[c * step].bits | static_cast<uint32_t>(second[c * step].bits) << 16;
  } else {
    for (int64_t c = 0; c < count; ++c) d[c] = first[c * step].bits;
  }
}

void gemm_pack_bf16_panels(float* dst, const Bf16* b, int64_t ldb, int64_t k, int64_t n, bool transposed,
                           int64_t first, int64_t last) {
  const int64_t places = (k + kPerPlace - 1) / kPerPlace;
  const int64_t row = transposed ? 1 : ldb, column = transposed ? ldb : 1;
  for (int64_t panel = first; panel < last; ++panel) {
    float* d = dst + panel * places * kPanel;
    const Bf16* s = b + panel * kPanel * column;
    const int64_t count = smaller(kPanel, n - panel * kPanel);
    if (count < kPanel) __builtin_memset(d, 0, static_cast<size_t>(places * kPanel) * sizeof(float));
    int64_t i = 0;
    if (kPerPlace == 2 && transposed && ldb % 2 == 0) {  // places as they lie in B
      i = k / 2;
      transpose(d, kPanel, reinterpret_cast<const float*>(s), ldb / 2, count, i);
    }
    for (; i < places; ++i) {
      const Bf16* element = s + i * kPerPlace * row;
      fill_places(reinterpret_cast<Place*>(d + i * kPanel), element,
                  i * kPerPlace + 1 < k ? element + row : nullptr, column, count);
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

/// sum + a b, of lanes that hold f32 or, with PAIRS, two bf16 each.
template <bool PAIRS>
SFR_INLINE vf multiply_add(vf sum, vf a, vf b) {
#if defined(__AVX512BF16__)
  if (PAIRS)
    return reinterpret_cast<vf>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(a),
                                                 reinterpret_cast<__m512bh>(b)));
#endif
  return sum + a * b;
}

template <int R, bool PAIRS>
SFR_INLINE void accumulate(vf (&acc)[R][2], const TileDepth& part, int64_t row_pitch, int64_t step) {
  const float *a = part.a, *b = part.b;
  for (int64_t k = 0; k < part.depth; ++k, a += step, b += kPanel) {
    const vf b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf av = broadcast(a[r * row_pitch]);
      acc[r][0] = multiply_add<PAIRS>(acc[r][0], av, b0);
      acc[r][1] = multiply_add<PAIRS>(acc[r][1], av, b1);
    }
  }
}

/// PAIRS: the places of the first part hold two bf16 each; the tail is f32 in any case.
template <int R, bool DEPTH_MAJOR, bool PAIRS>
static void tile(const TileJob& job) {
  vf acc[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = zero();
  const int64_t row_pitch = DEPTH_MAJOR ? 1 : job.lda, step = DEPTH_MAJOR ? job.lda : 1;
  if (PAIRS) accumulate<R, true>(acc, job.parts[0], row_pitch, step);
  for (const TileDepth* part = job.parts + (PAIRS ? 1 : 0); part < job.parts + 2; ++part)
    accumulate<R, false>(acc, *part, row_pitch, step);
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
  void (*bf16)(const TileJob&);  // depth-major too
};

#define SFR_TILE(r) \
  { r, &tile<r, true, false>, &tile<r, true, kPerPlace == 2> }
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

/// The places of `k` elements of `rows` rows (at most kTileRows), rounded to bf16: [row][kDepth].
static void round_rows(const float* a, int64_t lda, int64_t rows, int64_t k, float* places) {
  for (int64_t r = 0; r < rows; ++r, a += lda, places += kDepth) {
    Bf16* pairs = reinterpret_cast<Bf16*>(places);
    float last[2 * kLanes] = {};
    for (int64_t i = 0; i < k; i += kLanes) {
      const int64_t left = k - i;
      const float* s = left < kLanes ? last : a + i;
      for (int64_t j = 0; s == last && j < left; ++j) last[j] = a[i + j];
      if (kPerPlace == 2)
        store_bf16(pairs + i, load(s));
      else
        store(places + i, round_to_bf16(load(s)));
    }
  }
}

/// pack_tiles for `k` elements of depth in bf16: kPerPlace of them in each of `depth` places.
static void pack_bf16_tiles(const float* a, int64_t lda, int64_t rows, int64_t k, int64_t depth,
                            int64_t tile_floats, float* dst) {
  float places[kTileRows * kDepth];
  for (int64_t r = 0; r < rows; r += kTileRows) {
    const int64_t count = smaller(kTileRows, rows - r);
    round_rows(a + r * lda, lda, count, k, places);
    pack_tiles(places, kDepth, false, count, depth, tile_floats, dst + r * tile_floats);
  }
}

/// All panels for rows [m0, m0 + rows) and places [k0, k0 + depth) of the depth; the tail comes with the last
/// piece of depth.
static void run_block(const GemmRows& job, int64_t m0, int64_t rows, int64_t k0, int64_t depth,
                      float* scratch) {
  const int64_t unit = job.bf16 ? kPerPlace : 1, k = smaller(depth * unit, job.k - k0 * unit);
  const int64_t tail = k0 * unit + k == job.k ? job.tail_k : 0, tile_floats = depth + tail;
  // In place every row of a tile must exist: all even counts have a tile of their own.
  const bool whole = rows % (job.a_transposed ? 2 : kTileRows) == 0;
  const bool pack = job.last_panel - job.first_panel >= kPanelsToPack || !whole || tail > 0 || job.bf16;
  const float* a = job.a_transposed ? job.a + k0 * job.lda + m0 : job.a + m0 * job.lda + k0 * unit;
  if (job.bf16)
    pack_bf16_tiles(a, job.lda, rows, k, depth, tile_floats, scratch);
  else if (pack)
    pack_tiles(a, job.lda, job.a_transposed, rows, depth, tile_floats, scratch);
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
        (job.bf16 ? kind.bf16 : kind.depth_major)(t);
      } else if (job.a_transposed) {
        t.parts[0].a = a + r;
        kind.depth_major(t);
      } else {
        t.parts[0].a = a + r * job.lda;
        tile<kTileRows, false, false>(t);
      }
    }
  }
}

void gemm_rows(const GemmRows& job, float* scratch) {
  const int64_t places = job.bf16 ? (job.k + kPerPlace - 1) / kPerPlace : job.k;
  for (int64_t m0 = 0; m0 < job.m; m0 += kBlockRows) {
    const int64_t rows = smaller(kBlockRows, job.m - m0);
    for (int64_t k0 = 0; k0 < places; k0 += kDepth) {
      run_block(job, m0, rows, k0, smaller(kDepth, places - k0), scratch);
    }
  }
}

}  // namespace sfr::SFR_LEVEL
