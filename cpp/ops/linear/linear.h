// linear: y = x weight + bias, over the last axis (equals torch.nn.functional.linear with the weight
// transposed).
//   x [.., Cin]  weight [Cin, Cout]  bias? [Cout] -> y [.., Cout]; f32. A frozen weight may be bf16: x, or
//   dy, is then rounded to bf16 for the product, whose sums are f32. It has no gradient of its own.
// linear_backward_input: dx = dy weight^T.   dy [.., Cout]  weight [Cin, Cout] -> dx [.., Cin]
// linear_backward_weight: dweight = x^T dy.   x [.., Cin]  dy [.., Cout] -> dweight [Cin, Cout], and with
// attribute
//   bias also dbias [Cout], the sum of dy over all rows, in double.
// Errors: Error(shape) when the channels disagree or a tensor is empty.
#pragma once
#include "cuda/elements.h"
#include "graph/op.h"

namespace sfr {

/// Whether the gradient of the bias is computed along with that of the weight.
struct LinearWeightAttributes {
  bool bias = false;
  template <class V>
  void visit(V& v) {
    v("bias", bias);
  }
};

/// The shape of input i: a weight [Cin, Cout] in f32 or bf16. Throws Error(shape | dtype).
const Shape& expect_linear_weight(const InferContext& c, size_t i);

/// Parameters of the kernels of linear.cu: C = start + A B + bias for each of `batch` matrices, or, with
/// `parts` > 1, the sum over a part of K each, for sum_over_rows to add. Where A `is_rounded`, it is rounded
/// to bf16 first. Start lies as C does and may be C; it and the bias may be absent.
struct ProductArgs {
  Elements a, b;
  Results c;
  int64_t m, n, k;
  int64_t a_row, a_column, b_row, b_column, c_row;  // strides, elements
  int64_t a_batch, b_batch;
  const float* bias;
  Elements start;
  int32_t parts;
  bool is_rounded;
};

/// A, B and C row by row without gaps.
inline ProductArgs product_args(Elements a, Elements b, Results c, int64_t m, int64_t n, int64_t k) {
  return {a, b, c, m, n, k, k, 1, n, 1, n, 0, 0, nullptr, {}, 1, false};
}

/// Launches `batch` >= 1 products; C of the next one follows that of the one before.
void launch_products(const KernelContext& c, const ProductArgs& args, int64_t batch);

/// Launches one product of a long K, parts of which are summed apart from each other; C has no gaps between
/// its rows. `work` holds long_product_bytes.
void launch_long_product(const KernelContext& c, const ProductArgs& args, void* work);
size_t long_product_bytes(int64_t m, int64_t n, int64_t k);

/// The part of a gradient rule that ops with inputs x, weight and bias? share: sets those of weight and bias.
void set_linear_parameter_gradients(GradientContext& c, ValueId dy);

}  // namespace sfr
