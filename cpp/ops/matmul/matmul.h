// matmul: y[b] = op(a[b]) op(b[b]) for a batch of matrices (equals torch.bmm); f32
//   a [B, M, K], stored as [B, K, M] with transposeA;  b [B, K, N], stored as [B, N, K] with transposeB
//   -> y [B, M, N].   Gradients are matmuls again. Errors: Error(shape) when sizes disagree or a tensor is
//   empty.
#pragma once

namespace sfr {

struct MatmulAttributes {
  bool transpose_a = false;
  bool transpose_b = false;
  template <class V>
  void visit(V& v) {
    v("transposeA", transpose_a);
    v("transposeB", transpose_b);
  }
};

}  // namespace sfr
