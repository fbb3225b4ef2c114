// attention: scaled dot-product attention of `heads` heads with optional decomposed relative position
// (Vaswani et al. 2017; segment-anything's Attention and add_decomposed_rel_pos); no score matrix in memory
// (Dao et al. 2022).
//   q [B, Tq, C], k [B, Tk, C], v [B, Tk, C] f32, head h in channels [h d, (h + 1) d), d = C / heads
//   rel_h? [2 Gh - 1, d], rel_w? [2 Gw - 1, d]: both or neither; then Tq = Tk = Gh Gw; attribute grid:
//   [Gh, Gw]
//   -> out [B, Tq, C], logsumexp [B, heads, Tq]
//   score = q . k / sqrt(d) + q . rel_h[qy - ky + Gh - 1] + q . rel_w[qx - kx + Gw - 1] (the relative terms
//   use the unscaled q), out = softmax over keys of score, times v. Gradient: all inputs.
// attention_backward(q, k, v, rel_h?, rel_w?, out, logsumexp, dout?, dlogsumexp?) -> dq, dk, dv,
//   and with attribute tables also drel_h, drel_w; scores are computed again, tile by tile.
#pragma once
#include <array>
#include <cstdint>

#include "math/levels.h"

namespace sfr {

struct AttentionAttributes {
  int64_t heads = 1;
  std::array<int64_t, 2> grid = {0, 0};
  template <class V>
  void visit(V& v) {
    v("heads", heads);
    v("grid", grid);
  }
};

struct AttentionBackwardAttributes {
  int64_t heads = 1;
  std::array<int64_t, 2> grid = {0, 0};
  bool tables = false;
  template <class V>
  void visit(V& v) {
    v("heads", heads);
    v("grid", grid);
    v("tables", tables);
  }
};

/// Extents of one head's problem; grid_rows is 0 without relative position.
struct AttentionSizes {
  int64_t queries, keys, depth, channels, grid_rows, grid_columns;
};

/// One head of one batch item: pointers to its first element; rows of q, k, v, out and their gradients are
/// `sizes.channels` apart, logsumexp and dlogsumexp are [Tq]. Null where absent.
struct AttentionHead {
  AttentionSizes sizes;
  const float *q, *k, *v, *rel_h, *rel_w;
  float *out, *logsumexp;
  const float *dout, *dlogsumexp;
  float *dq, *dk, *dv;
};

/// Queries that share a pass over the keys (a unit of work), and keys per tile.
struct AttentionBlocks {
  int64_t queries, keys;
};

SFR_DECLARE_LEVELS(void attention_blocks(AttentionBlocks* blocks))
/// Floats of work memory of one thread: for the packed keys and values of one head, and for the tiles.
SFR_DECLARE_LEVELS(int64_t attention_work_floats(const AttentionSizes& sizes))
/// Packs a head's keys and values into work, for any number of attention_forward calls on that head.
SFR_DECLARE_LEVELS(void attention_pack(const AttentionHead& head, float* work))
/// Queries [begin, end), at most one block; begin is a multiple of the block.
SFR_DECLARE_LEVELS(void attention_forward(const AttentionHead& head, int64_t begin, int64_t end, float* work))

/// Floats of work memory of one thread for at most `keys` keys.
SFR_DECLARE_LEVELS(int64_t attention_backward_work_floats(const AttentionSizes& sizes, int64_t keys))
/// dk and dv of keys [begin, end) (begin a multiple of the key block) and these keys' share of dq. Adds their
/// share of drel_h [2 Gh - 1, d] and then drel_w [2 Gw - 1, d] to table_sums unless null.
SFR_DECLARE_LEVELS(void attention_backward(const AttentionHead& head, int64_t begin, int64_t end, float* work,
                                           double* table_sums))
/// y += x.
SFR_DECLARE_LEVELS(void attention_add(const float* x, int64_t count, float* y))

}  // namespace sfr
