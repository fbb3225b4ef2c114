#include "native/op_test.h"
#include "ops/linear/linear.h"

namespace sfr::test {

namespace {

template <class T>
void linear_reference(RefContext<T>& c) {
  const int64_t in = c.inputs[1].dim(0), out = c.inputs[1].dim(1), rows = c.inputs[0].count() / in;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < out; ++j) {
      T sum = c.has(2) ? c.inputs[2][j] : T(0);
      for (int64_t i = 0; i < in; ++i)
        sum += rounded_like(c.inputs[1], c.inputs[0][r * in + i]) * c.inputs[1][i * out + j];
      c.outputs[0][r * out + j] = sum;
    }
}

template <class T>
void backward_input_reference(RefContext<T>& c) {
  const int64_t in = c.inputs[1].dim(0), out = c.inputs[1].dim(1), rows = c.inputs[0].count() / out;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < in; ++i) {
      T& sum = c.outputs[0][r * in + i];
      for (int64_t j = 0; j < out; ++j)
        sum += rounded_like(c.inputs[1], c.inputs[0][r * out + j]) * c.inputs[1][i * out + j];
    }
}

/// A weight in bf16. x is rounded, which finite differences cannot see through: its gradient is
/// linear_backward_input's, a test of its own.
std::vector<InputSpec> bf16_weight(std::vector<InputSpec> inputs) {
  inputs[0].differentiate = false;
  inputs[1].dtype = DType::bf16;
  return inputs;
}

std::vector<InputSpec> frozen_weight(std::vector<InputSpec> inputs) {
  inputs[1].differentiate = false;
  return inputs;
}

const std::vector<OpCase> cases = {
    {"one", {}, {{{1}}, {{1, 1}}, {{1}}}},
    {"vector", {}, {{{7}}, {{7, 5}}}},
    {"prime", {}, {{{2, 3, 13}}, {{13, 17}}, {{17}}}},
    {"no_bias", {}, {{{31, 24}}, {{24, 33}}}},
    {"bias_alone", {}, frozen_weight({{{31, 24}}, {{24, 33}}, {{33}}})},
    {"sam_tiny", {}, {{{2, 49, 96}}, {{96, 72}}, {{72}}}},
    {"many_rows", {}, {{{4801, 3}}, {{3, 4}}, {{4}}}},
    {"head", {}, {{{4801, 16}}, {{16, 2}}, {{2}}}},
    {"few_outputs_odd", {}, {{{37, 31}}, {{31, 3}}, {{3}}}},
    {"few_outputs_most", {}, {{{1030, 64}}, {{64, 8}}}},
    {"narrow", {}, {{{37, 72}}, {{72, 9}}, {{9}}}},
    {"deep_weight_gradient", {}, {{{4801, 18}}, {{18, 40}}, {{40}}}},
    {"bf16_one", {}, bf16_weight({{{1}}, {{1, 1}}, {{1}}})},
    {"bf16_prime", {}, bf16_weight({{{2, 3, 13}}, {{13, 17}}, {{17}}})},
    {"bf16_no_bias", {}, bf16_weight({{{31, 24}}, {{24, 33}}})},
    {"bf16_sam_tiny", {}, bf16_weight({{{2, 49, 96}}, {{96, 72}}, {{72}}})},
    // Several blocks of rows and of depth, the last of each incomplete.
    {"bf16_blocks", {}, bf16_weight({{{181, 1571}}, {{1571, 70}}, {{70}}})},
};

const std::vector<OpCase> backward_input_cases = {
    {"one", {}, bf16_weight({{{1}}, {{1, 1}}})},
    {"prime", {}, bf16_weight({{{2, 3, 17}}, {{13, 17}}})},
    {"sam_tiny", {}, bf16_weight({{{2, 49, 72}}, {{96, 72}}})},
    {"odd_channels", {}, bf16_weight({{{31, 33}}, {{24, 33}}})},
    {"blocks", {}, bf16_weight({{{181, 1570}}, {{70, 1570}}})},
};

SFR_OP_TEST(linear, linear_reference, cases);
SFR_OP_TEST(linear_backward_input, backward_input_reference, backward_input_cases);

}  // namespace

}  // namespace sfr::test
