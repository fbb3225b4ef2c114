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

/// Parameters of the kernel `products` of linear.cu: C = A B + bias for each of `batch` matrices, or, with
/// `parts` > 1, the sum over a part of K each, for sum_over_rows to add.
struct ProductArgs {
  const float *a, *b, *bias;
  float* c;
  int64_t m, n, k;
  int64_t a_row, a_column, b_row, b_column;  // strides, floats
  int64_t a_batch, b_batch;
  int32_t parts;
};

/// Launches it for `batch` >= 1 products; more than one part wants batch 1 and leaves [parts][m][n] at c.
void launch_products(const KernelContext& c, const ProductArgs& args, int64_t batch);

/// The part of a gradient rule that ops with inputs x, weight and bias? share: sets those of weight and bias.
void set_linear_parameter_gradients(GradientContext& c, ValueId dy);

}  // namespace sfr
