// Winograd's minimal filtering F(4x4, 3x3) over y and x (Lavin & Gray 2016): the transforms and how tiles
// lie.
//
// A 3x3 correlation of 4x4 outputs takes 36 products of transformed 6x6 inputs and transformed weights
// instead of 144. One axis: y = A^T ((G g) * (B^T d)) with the points 0, +-sqrt(1/2), +-sqrt(2), infinity.
// They are balanced (products of the outer points are 1), so errors are about twice those of a plain f32
// loop, where the usual points 0, +-1, +-2 give eight times. The gradient with respect to g is G^T ((A dy) *
// (B^T d)).
//
// Outputs [n, d, h, w] are cut into 4x4 tiles: tile rows are counted over samples and y, each has
// div_up(w, 4) tiles per plane; tiles that reach over the edge are computed in full and cut when stored.
#pragma once

#include "math/conv_load.h"
#include "math/simd.h"

namespace sfr::SFR_LEVEL {

constexpr int kPoints = 36;
constexpr int64_t kTileEdge = 4;
constexpr float kInner = 0.70710678f, kOuter = 1.41421356f;  // the points +-sqrt(1/2), +-sqrt(2)

/// B^T d: six inputs to six points.
SFR_INLINE void input_points(const vf* d, vf* v) {
  const vf even_inner = d[4] - 2.0f * d[2], odd_inner = d[3] - 2.0f * d[1];
  const vf even_outer = d[4] - 0.5f * d[2], odd_outer = d[3] - 0.5f * d[1];
  v[0] = (d[4] - 2.5f * d[2]) + d[0];
  v[1] = even_inner + kInner * odd_inner;
  v[2] = even_inner - kInner * odd_inner;
  v[3] = even_outer + kOuter * odd_outer;
  v[4] = even_outer - kOuter * odd_outer;
  v[5] = (d[5] - 2.5f * d[3]) + d[1];
}

/// A^T m: six points to four outputs.
SFR_INLINE void output_values(const vf* m, vf* y) {
  const vf even_inner = m[1] + m[2], odd_inner = kInner * (m[1] - m[2]);
  const vf even_outer = m[3] + m[4], odd_outer = kOuter * (m[3] - m[4]);
  y[0] = m[0] + even_inner + even_outer;
  y[1] = odd_inner + odd_outer;
  y[2] = 0.5f * even_inner + 2.0f * even_outer;
  y[3] = (0.5f * odd_inner + 2.0f * odd_outer) + m[5];
}

/// A g: four output gradients to six points.
SFR_INLINE void gradient_points(const vf* g, vf* v) {
  const vf even_inner = g[0] + 0.5f * g[2], odd_inner = g[1] + 0.5f * g[3];
  const vf even_outer = g[0] + 2.0f * g[2], odd_outer = g[1] + 2.0f * g[3];
  v[0] = g[0];
  v[1] = even_inner + kInner * odd_inner;
  v[2] = even_inner - kInner * odd_inner;
  v[3] = even_outer + kOuter * odd_outer;
  v[4] = even_outer - kOuter * odd_outer;
  v[5] = g[3];
}

/// G g: three weights to six points.
SFR_INLINE void weight_points(const vf* g, vf* u) {
  const vf even_inner = g[0] + 0.5f * g[2], even_outer = g[0] + 2.0f * g[2];
  u[0] = g[0];
  u[1] = (even_inner + kInner * g[1]) * (-1.0f / 1.5f);
  u[2] = (even_inner - kInner * g[1]) * (-1.0f / 1.5f);
  u[3] = (even_outer + kOuter * g[1]) * (1.0f / 6.0f);
  u[4] = (even_outer - kOuter * g[1]) * (1.0f / 6.0f);
  u[5] = g[2];
}

/// G^T u: gradients of six points to those of three weights.
SFR_INLINE void weight_values(const vf* u, vf* g) {
  const vf even_inner = (u[1] + u[2]) * (-1.0f / 1.5f), odd_inner = (u[1] - u[2]) * (-kInner / 1.5f);
  const vf even_outer = (u[3] + u[4]) * (1.0f / 6.0f), odd_outer = (u[3] - u[4]) * (kOuter / 6.0f);
  g[0] = u[0] + even_inner + even_outer;
  g[1] = odd_inner + odd_outer;
  g[2] = (0.5f * even_inner + 2.0f * even_outer) + u[5];
}

/// Tiles of consecutive tile rows in one plane, transformed: [point][channel block][tile][span], points apart
/// by one cache line more than their content, since 36 stores at a power of two would share one cache set.
struct TileBlock {
  int64_t span;          // channels of a block
  int64_t block_floats;  // from one channel block to the next
  int64_t point_floats;  // from one point to the next
  int64_t floats;
};

/// `tiles` counts the padding that register tiles read.
SFR_INLINE TileBlock make_tile_block(int64_t tiles, int64_t channels, int64_t span) {
  const int64_t point_floats = round_up(channels, span) * tiles + 16;
  return TileBlock{span, tiles * span, point_floats, kPoints * point_floats};
}

/// Tiles along x whose columns are transformed at a time: 13 KB at v4, so they stay in the first-level cache.
constexpr int64_t kSegment = 8;

/// A batch-norm's parameters of kLanes channels. The expression is that of batch_norm, so that the mask of
/// its backward pass agrees.
struct Norm {
  vf mean, scale, bias;

  Norm(const float* norm, int64_t channels, int64_t c)
      : mean(load(norm + c)), scale(load(norm + channels + c)), bias(load(norm + 2 * channels + c)) {}
  vf apply(vf x) const {
    const vf y = (x - mean) * scale + bias;
    return y < 0 ? zero() : y;
  }
};

/// How kLanes channels of an input are loaded `at` an offset from its beginning.
struct PlainLoad {
  const float* x;

  PlainLoad(const ConvInput& input, int64_t, int64_t c) : x(input.x + c) {}
  vf at(int64_t offset) const { return load(x + offset); }
  void prefetch(int64_t offset) const { __builtin_prefetch(x + offset, 0, 2); }
};

struct NormLoad {
  const float* x;
  Norm norm;

  NormLoad(const ConvInput& input, int64_t channels, int64_t c)
      : x(input.x + c), norm(input.norm, channels, c) {}
  vf at(int64_t offset) const { return norm.apply(load(x + offset)); }
  void prefetch(int64_t offset) const { __builtin_prefetch(x + offset, 0, 2); }
};

/// The sum of two.
template <class Skip>
struct SkipLoad {
  NormLoad main;
  Skip skip;

  SkipLoad(const ConvInput& input, int64_t channels, int64_t c)
      : main(input, channels, c), skip(ConvInput{input.skip, input.skip_norm}, channels, c) {}
  vf at(int64_t offset) const { return main.at(offset) + skip.at(offset); }
  void prefetch(int64_t offset) const {
    main.prefetch(offset);
    skip.prefetch(offset);
  }
};

/// Where a tile row of an input lies: in plane `plane` of a volume [.., h, w, pitch], channels [c0, c0 +
/// channels).
struct InputRow {
  const ConvInput& input;
  int64_t plane, h, w, pitch;
  int64_t tile_row;
  int64_t c0, channels;
};

/// A tile row into tiles [first, first + div_up(w, 4)) of a block with span kSpan: B^T d B.
template <class Load>
static void transform_rows(const InputRow& in, const TileBlock& block, int64_t first, float* dst) {
  const int64_t h = in.h, w = in.w, pitch = in.pitch, tiles = div_up(w, kTileEdge);
  int64_t rows[6];  // offsets; below 0 outside the volume
  for (int64_t i = 0; i < 6; ++i) {
    const int64_t y = kTileEdge * in.tile_row - 1 + i;
    rows[i] = y >= 0 && y < h ? (in.plane * h + y) * w * pitch : -1;
  }
  for (int64_t c = 0; c < in.channels; c += kLanes) {
    const Load source(in.input, pitch, in.c0 + c);
    float* out = dst + c / kSpan * block.block_floats + first * kSpan + c % kSpan;
    for (int64_t t0 = 0; t0 < tiles; t0 += kSegment) {
      const int64_t count = smaller(kSegment, tiles - t0);
      vf columns[(kTileEdge * kSegment + 2) * 6];
      for (int64_t j = 0; j < kTileEdge * count + 2; ++j) {
        const int64_t x = kTileEdge * t0 - 1 + j;
        vf d[6];
        for (int i = 0; i < 6; ++i) {
          const bool inside = x >= 0 && x < w && rows[i] >= 0;
          d[i] = inside ? source.at(rows[i] + x * pitch) : zero();
          if (inside) source.prefetch(rows[i] + (x + h * w) * pitch);  // the next plane
        }
        input_points(d, columns + 6 * j);
      }
      for (int64_t t = 0; t < count; ++t) {
        for (int p = 0; p < 6; ++p) {
          vf d[6], v[6];
          for (int i = 0; i < 6; ++i) d[i] = columns[(kTileEdge * t + i) * 6 + p];
          input_points(d, v);
          float* o = out + 6 * p * block.point_floats + (t0 + t) * kSpan;
          for (int q = 0; q < 6; ++q) store(o + q * block.point_floats, v[q]);
        }
      }
    }
  }
}

static void transform_input_row(const InputRow& in, const TileBlock& block, int64_t first, float* dst) {
  if (!in.input.norm) return transform_rows<PlainLoad>(in, block, first, dst);
  if (!in.input.skip) return transform_rows<NormLoad>(in, block, first, dst);
  if (!in.input.skip_norm) return transform_rows<SkipLoad<PlainLoad>>(in, block, first, dst);
  transform_rows<SkipLoad<NormLoad>>(in, block, first, dst);
}

}  // namespace sfr::SFR_LEVEL
