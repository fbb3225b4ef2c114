// Register tiles of attention, for its `*.simd.cpp` sources only.
//
// Everything is kept transposed, queries along the registers: a panel is 2 registers of queries. Scores are
// [key][query], so maxima and sums over keys need no shuffles, the relative terms are whole registers, and a
// score tile is, where it lies, the operand of the next product. All products are C (+)= A B with rows of A
// broadcast.
#pragma once

#include "math/simd.h"
#include "ops/attention/attention.h"

namespace sfr::SFR_LEVEL {

#if SFR_VECTOR_BYTES == 64
constexpr int kTileRows = 14;
constexpr int64_t kKeyBlock = 8 * kTileRows;
#else
constexpr int kTileRows = 6;
constexpr int64_t kKeyBlock = 16 * kTileRows;
#endif
constexpr int64_t kPanel = 2 * kLanes;
constexpr int64_t kQueryBlock = 256;
constexpr int64_t kPanels = kQueryBlock / kPanel;

SFR_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
SFR_INLINE int64_t round_up(int64_t a, int64_t unit) {
  return (a + unit - 1) / unit * unit;
}

/// Element (r, k) of A lies at a[r * row_step + k * pitch], or, for packed and transposed A (kAcross), at
/// a[r0 * row_step + (r - r0) + k * pitch] with r0 the first row of r's tile.
struct Product {
  const float* a;
  int64_t row_step, pitch;
  const float* b;
  int64_t b_pitch, depth;
  float* c;
  int64_t c_pitch;
};

template <int R, int V, bool kAcross>
static __attribute__((noinline)) void product_tile(const float* a, const float* b, float* c, const Product& p,
                                                   bool add) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int i = 0; i < V; ++i) acc[r][i] = zero();
  }
  const int64_t row = kAcross ? 1 : p.row_step, step = kAcross ? p.pitch : 1, b_pitch = p.b_pitch;
  for (int64_t k = p.depth; k > 0; --k, a += step, b += b_pitch) {
    vf bv[V];
#pragma GCC unroll 2
    for (int i = 0; i < V; ++i) bv[i] = load(b + i * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf av = broadcast(a[r * row]);
#pragma GCC unroll 2
      for (int i = 0; i < V; ++i) acc[r][i] += av * bv[i];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int i = 0; i < V; ++i) {
      float* d = c + r * p.c_pitch + i * kLanes;
      store(d, add ? acc[r][i] + load(d) : acc[r][i]);
    }
  }
}

template <int R, bool kAcross>
SFR_INLINE void product_rows(const Product& p, int64_t row, int registers, bool add) {
  const int64_t first = row / kTileRows * kTileRows;
  const float* a = p.a + first * p.row_step + (row - first) * (kAcross ? 1 : p.row_step);
  float* c = p.c + row * p.c_pitch;
  int i = 0;
  for (; i + 2 <= registers; i += 2) product_tile<R, 2, kAcross>(a, p.b + i * kLanes, c + i * kLanes, p, add);
  if (i < registers) product_tile<R, 1, kAcross>(a, p.b + i * kLanes, c + i * kLanes, p, add);
}

/// C [rows][registers] = A B, plus the old C when `add`. Row tiles of 14, 8, 4, 2, 1 (6, 4, 2, 1).
template <bool kAcross>
SFR_INLINE void product(const Product& p, int64_t rows, int registers, bool add) {
  int64_t row = 0;
  for (; row + kTileRows <= rows; row += kTileRows) product_rows<kTileRows, kAcross>(p, row, registers, add);
#if SFR_VECTOR_BYTES == 64
  if (rows - row >= 8) product_rows<8, kAcross>(p, row, registers, add), row += 8;
#endif
  if (rows - row >= 4) product_rows<4, kAcross>(p, row, registers, add), row += 4;
  if (rows - row >= 2) product_rows<2, kAcross>(p, row, registers, add), row += 2;
  if (rows - row >= 1) product_rows<1, kAcross>(p, row, registers, add);
}

/// src [rows][depth] -> dst [tile of rows][depth][kTileRows], times scale.
SFR_INLINE void pack_rows(const float* src, int64_t pitch, int64_t rows, int64_t depth, float scale,
                          float* dst) {
  for (int64_t r = 0; r < rows; r += kTileRows, dst += kTileRows * depth) {
    const int64_t count = smaller(kTileRows, rows - r);
    if (count < kTileRows) __builtin_memset(dst, 0, static_cast<size_t>(kTileRows * depth) * sizeof(float));
    transpose(dst, kTileRows, src + r * pitch, pitch, count, depth);
    for (int64_t i = 0; i < kTileRows * depth; ++i) dst[i] *= scale;
  }
}

/// src [rows][depth] -> dst [tile of depth][rows][kTileRows], times scale: the transposed matrix's tiles.
SFR_INLINE void pack_columns(const float* src, int64_t pitch, int64_t rows, int64_t depth, float scale,
                             float* dst) {
  for (int64_t c = 0; c < depth; c += kTileRows) {
    const int64_t count = smaller(kTileRows, depth - c);
    for (int64_t r = 0; r < rows; ++r, dst += kTileRows) {
      if (count == kTileRows) {
        for (int i = 0; i < kTileRows; ++i) dst[i] = src[r * pitch + c + i] * scale;
      } else {
        for (int64_t i = 0; i < count; ++i) dst[i] = src[r * pitch + c + i] * scale;
      }
    }
  }
}

/// src [count][depth] -> dst [depth][kPanel], times scale; lanes from `count` on become 0.
SFR_INLINE void pack_panel(const float* src, int64_t pitch, int64_t count, int64_t depth, float scale,
                           float* dst) {
  if (count < kPanel) __builtin_memset(dst, 0, static_cast<size_t>(depth * kPanel) * sizeof(float));
  transpose(dst, kPanel, src, pitch, count, depth);
  if (scale == 1.0f) return;
  for (int64_t i = 0; i < depth * kPanel; ++i) dst[i] *= scale;
}

/// Scores are kept times log2(e), so that the softmax needs powers of two only.
constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;

/// 2^x for x <= 127, within 2 ulp; 2^-126 below. x = n + f with |f| <= 1/2; the polynomial is our own fit of
/// degree 5 with p(0) = 1, reweighted towards minimax, off by 1e-7 at most.
SFR_INLINE vf exp2_of_score(vf x) {
  const vf magic = broadcast(12582912.0f);
  x = vmax(x, broadcast(-126.0f));
  const vf shifted = x + magic;
  const vf f = x - (shifted - magic);
  vf p = f * 1.32647269e-3f + 9.67151266e-3f;
  p = p * f + 5.55073374e-2f;
  p = p * f + 0.240222421f;
  p = p * f + 0.693146978f;
  p = p * f + 1.0f;
  return as_float(as_int(p) + (as_int(shifted) << 23));
}

/// A panel of queries [begin, begin + count) of one head and its relative terms.
struct Panel {
  int64_t begin, count;
  int registers;
  float* q;       // [depth][kPanel], times log2(e)
  float* bias_h;  // [grid rows][kPanel]: q . rel_h[qy - ky + Gh - 1], times log2(e)
  float* bias_w;  // [grid columns][kPanel]
};

SFR_INLINE Panel panel_at(int64_t begin, int64_t end) {
  Panel p{};
  p.begin = begin;
  p.count = smaller(kPanel, end - begin);
  p.registers = static_cast<int>((p.count + kLanes - 1) / kLanes);
  return p;
}

/// Rows of a relative table that a panel reads: query i reads rows [last[i] - G + 1, last[i]] of the rows
/// [first, first + rows), counted from `first`; the last for the key's line 0.
struct TableSpan {
  int64_t first, rows;
  int64_t last[kPanel];
};

/// Axis 0: lines are grid rows, axis 1: grid columns; G of them.
SFR_INLINE TableSpan table_span(const AttentionSizes& s, const Panel& panel, int axis) {
  const int64_t lines = axis == 0 ? s.grid_rows : s.grid_columns;
  TableSpan span;
  int64_t row = panel.begin / s.query_columns, column = panel.begin % s.query_columns, most = 0;
  span.first = lines;
  for (int64_t i = 0; i < panel.count; ++i) {
    const int64_t line = axis == 0 ? row : column;
    span.last[i] = line;
    span.first = line < span.first ? line : span.first;
    most = line > most ? line : most;
    if (++column == s.query_columns) column = 0, ++row;
  }
  span.rows = most - span.first + lines;
  for (int64_t i = 0; i < panel.count; ++i) span.last[i] += lines - 1 - span.first;
  return span;
}

/// bias[line of key][query] from one product of the table's rows with the panel. products: [2 G - 1][kPanel].
SFR_INLINE void fill_bias(const AttentionHead& head, const Panel& panel, int axis, float* products,
                          float* bias) {
  const AttentionSizes& s = head.sizes;
  const int64_t lines = axis == 0 ? s.grid_rows : s.grid_columns;
  const TableSpan span = table_span(s, panel, axis);
  const float* table = (axis == 0 ? head.rel_h : head.rel_w) + span.first * s.depth;
  product<false>({table, s.depth, 1, panel.q, kPanel, s.depth, products, kPanel}, span.rows, panel.registers,
                 false);
  __builtin_memset(bias, 0, static_cast<size_t>(lines * kPanel) * sizeof(float));
  for (int64_t i = 0; i < panel.count; ++i) {
    for (int64_t line = 0; line < lines; ++line)
      bias[line * kPanel + i] = products[(span.last[i] - line) * kPanel + i];
  }
}

/// scores [count][kPanel] of keys [begin, begin + count); packed_k begins at key `begin` and holds k /
/// sqrt(d). Times log2(e), as q is.
SFR_INLINE void fill_scores(const AttentionSizes& s, const Panel& panel, const float* packed_k, int64_t begin,
                            int64_t count, float* scores) {
  const bool relative = s.grid_rows > 0;
  if (relative) {
    int64_t row = begin / s.grid_columns, column = begin % s.grid_columns;
    for (int64_t i = 0; i < count; ++i) {
      const float *h = panel.bias_h + row * kPanel, *w = panel.bias_w + column * kPanel;
      for (int v = 0; v < panel.registers; ++v)
        store(scores + i * kPanel + v * kLanes, load(h + v * kLanes) + load(w + v * kLanes));
      if (++column == s.grid_columns) column = 0, ++row;
    }
  }
  product<true>({packed_k, s.depth, kTileRows, panel.q, kPanel, s.depth, scores, kPanel}, count,
                panel.registers, relative);
}

/// Hands out pieces of a thread's work memory, each a multiple of 64 bytes; with base null it only counts.
struct Carver {
  float* base;
  int64_t used;
};

SFR_INLINE float* carve(Carver& c, int64_t floats) {
  float* piece = c.base ? c.base + c.used : nullptr;
  c.used += round_up(floats, 16);
  return piece;
}

}  // namespace sfr::SFR_LEVEL
