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
      for (int64_t i = 0; i < in; ++i) sum += c.inputs[0][r * in + i] * c.inputs[1][i * out + j];
      c.outputs[0][r * out + j] = sum;
    }
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
};

SFR_OP_TEST(linear, linear_reference, cases);

}  // namespace

}  // namespace sfr::test
