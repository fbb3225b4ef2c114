// linear_lora: linear with low-rank updates of ranges of its output channels (Hu et al. 2022), in one pass
// over the product: the update is added while a tile of y is in registers.
//   x [.., Cin]  weight [Cin, Cout]  bias? [Cout]  a0 [Cin, r0]  b0 [r0, w0]  a1 b1 ... f32; attribute
//   begins: first output channel of each update, ranges must not overlap
//   -> y [.., Cout] = x weight + bias, y[.., begin_i : begin_i + w_i] += x a_i b_i
//   -> u [.., r0 + r1 + ..] = x a_i side by side
//   The weight may be bf16, as linear's; the updates' products stay f32.
//   Gradient: all inputs.
// linear_lora_backward(dy, x, u, weight, du?, a0, b0, ...) -> dx (with attribute input), da0, db0, da1, ...;
//   the gradients of weight and bias are linear_backward_weight's. x is read for da only.
// Errors: Error(shape) when channels disagree, a range leaves the output or a tensor is empty.
#pragma once
#include <cstdint>
#include <vector>

namespace sfr {

struct LinearLoraAttributes {
  std::vector<int64_t> begins;
  template <class V>
  void visit(V& v) {
    v("begins", begins);
  }
};

struct LinearLoraBackwardAttributes {
  std::vector<int64_t> begins;
  bool input = true;
  template <class V>
  void visit(V& v) {
    v("begins", begins);
    v("input", input);
  }
};

}  // namespace sfr
