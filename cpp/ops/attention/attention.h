// attention: scaled dot-product attention of `heads` heads (Vaswani et al. 2017); no score matrix in memory
// (Dao et al. 2022).
//   q [B, Tq, C], k [B, Tk, C], v [B, Tk, C] f32, head h in channels [h d, (h + 1) d), d = C / heads
//   -> out [B, Tq, C], logsumexp [B, heads, Tq]
//   score = q . k / sqrt(d), out = softmax over keys of score, times v. Gradient: all inputs.
// attention_backward(q, k, v, out, logsumexp, dout?, dlogsumexp?) -> dq, dk, dv; scores are computed again,
//   tile by tile.
// Its kernels also know relative position on a grid, for grid_attention.
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

struct AttentionAttributes {
  int64_t heads = 1;
  template <class V>
  void visit(V& v) {
    v("heads", heads);
  }
};

/// Extents of one head's problem. The relative position is that of a query on a grid of `query_columns`
/// columns to a key on a grid [grid_rows, grid_columns] with the same corner; grid_rows 0: none.
struct AttentionSizes {
  int64_t queries, keys, depth;
  int64_t pitch;      // floats between rows of q, k, v, dk and dv
  int64_t out_pitch;  // of out and dout
  int64_t dq_pitch;
  int64_t query_columns, grid_rows, grid_columns;
};

/// One head of one batch item: pointers to its first element; logsumexp and dlogsumexp are [Tq]. rel_h [2 Gh
/// - 1, d] and rel_w [2 Gw - 1, d] add q . rel_h[qy - ky + Gh - 1] + q . rel_w[qx - kx + Gw - 1] to a score,
/// with the unscaled q. Null where absent.
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
/// y [rows][width] += x, row pitches in floats.
SFR_DECLARE_LEVELS(void attention_add(const float* x, int64_t x_pitch, int64_t rows, int64_t width, float* y,
                                      int64_t y_pitch))

}  // namespace sfr
