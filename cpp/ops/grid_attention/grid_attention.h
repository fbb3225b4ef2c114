// grid_attention: self-attention of tokens on a grid with decomposed relative position, over the whole grid
// or within windows (segment-anything's Attention, window_partition and add_decomposed_rel_pos; Li et al.
// 2022).
//   qkv [N, H, W, 3 C] f32 = q, k, v side by side; head h in channels [h d, (h + 1) d) of each, d = C / heads
//   padding [3 C]: q, k, v of tokens beyond the bottom and right edge, which fill up the last windows; their
//   k and v take part (segment-anything pads before the projection, so they are its bias), their q does not
//   rel_h [2 Gh - 1, d], rel_w [2 Gw - 1, d], window [Gh, Gw] = [window, window], or the whole grid when
//   window is 0
//   -> out [N, H, W, C], logsumexp [N, heads, H, W]
//   score = q . k / sqrt(d) + q . rel_h[qy - ky + Gh - 1] + q . rel_w[qx - kx + Gw - 1] (the relative terms
//   use the unscaled q), out = softmax over the window's keys of score, times v. No score matrix, no padded
//   copy of the grid. Gradient: all inputs.
// grid_attention_backward(qkv, padding, rel_h, rel_w, out, logsumexp, dout?, dlogsumexp?) -> dqkv, dpadding
//   (its q part is 0), drel_h, drel_w, the last three only with attribute parameters; scores are computed
//   again.
#pragma once
#include <cstdint>

#include "graph/op.h"

namespace sfr {

struct GridAttentionAttributes {
  int64_t heads = 1;
  int64_t window = 0;
  template <class V>
  void visit(V& v) {
    v("heads", heads);
    v("window", window);
  }
};

struct GridAttentionBackwardAttributes {
  int64_t heads = 1;
  int64_t window = 0;
  bool parameters = false;
  template <class V>
  void visit(V& v) {
    v("heads", heads);
    v("window", window);
    v("parameters", parameters);
  }
};

void grid_attention_cpu(const KernelContext& c);
size_t grid_attention_work_bytes(const NodeTypes& t, int threads);
void grid_attention_backward_cpu(const KernelContext& c);
size_t grid_attention_backward_work_bytes(const NodeTypes& t, int threads);

void grid_attention_cuda(const KernelContext& c);
size_t grid_attention_cuda_work_bytes(const NodeTypes& t);
void grid_attention_backward_cuda(const KernelContext& c);
size_t grid_attention_backward_cuda_work_bytes(const NodeTypes& t);

}  // namespace sfr
