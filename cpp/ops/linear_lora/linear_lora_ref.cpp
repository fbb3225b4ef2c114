#include "native/op_test.h"
#include "ops/linear_lora/linear_lora.h"

namespace sfr::test {

namespace {

/// The unfused composition: a linear layer, and for each update two more.
template <class T>
void linear_lora_reference(RefContext<T>& c) {
  const auto& begins = c.template as<LinearLoraAttributes>().begins;
  const int64_t in = c.inputs[1].dim(0), out = c.inputs[1].dim(1), rows = c.inputs[0].count() / in;
  const int64_t rank = c.outputs[1].count() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = &c.inputs[0][row * in];
    T *y = &c.outputs[0][row * out], *u = &c.outputs[1][row * rank];
    for (int64_t j = 0; j < out; ++j) {
      y[j] = c.has(2) ? c.inputs[2][j] : T(0);
      for (int64_t i = 0; i < in; ++i) y[j] += rounded_like(c.inputs[1], x[i]) * c.inputs[1][i * out + j];
    }
    for (size_t k = 0; k < begins.size(); ++k) {
      const auto &a = c.inputs[3 + 2 * k], &b = c.inputs[4 + 2 * k];
      const int64_t own = b.dim(0), width = b.dim(1);
      for (int64_t r = 0; r < own; ++r, ++u) {
        for (int64_t i = 0; i < in; ++i) *u += x[i] * a[i * own + r];
        for (int64_t j = 0; j < width; ++j) y[begins[k] + j] += *u * b[r * width + j];
      }
    }
  }
}

/// Gradients by x, a and b, of inputs dy, x, u, weight, no du, a, b.
template <class T>
void backward_reference(RefContext<T>& c) {
  const auto& begins = c.template as<LinearLoraBackwardAttributes>().begins;
  const RefTensor<T>&dy = c.inputs[0], &x = c.inputs[1], &u = c.inputs[2], &weight = c.inputs[3];
  const int64_t in = weight.dim(0), out = weight.dim(1), rows = x.count() / in, rank = u.count() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    const T* g = &dy[row * out];
    T* dx = &c.outputs[0][row * in];
    for (int64_t i = 0; i < in; ++i)
      for (int64_t j = 0; j < out; ++j) dx[i] += rounded_like(weight, g[j]) * weight[i * out + j];
    int64_t column = 0;
    for (size_t k = 0; k < begins.size(); ++k) {
      const auto &a = c.inputs[5 + 2 * k], &b = c.inputs[6 + 2 * k];
      auto &da = c.outputs[1 + 2 * k], &db = c.outputs[2 + 2 * k];
      const int64_t own = b.dim(0), width = b.dim(1);
      for (int64_t r = 0; r < own; ++r, ++column) {
        T du = 0;
        for (int64_t j = 0; j < width; ++j) {
          du += g[begins[k] + j] * b[r * width + j];
          db[r * width + j] += u[row * rank + column] * g[begins[k] + j];
        }
        for (int64_t i = 0; i < in; ++i) {
          dx[i] += du * a[i * own + r];
          da[i * own + r] += x[row * in + i] * du;
        }
      }
    }
  }
}

AttributeMap begins(std::vector<double> channels) {
  return {{"begins", std::move(channels)}};
}

InputSpec absent() {
  InputSpec spec{{1}};
  spec.absent = true;
  return spec;
}

/// As in fine-tuning: weight and bias are frozen.
std::vector<InputSpec> frozen(std::vector<InputSpec> inputs) {
  inputs[1].differentiate = inputs[2].differentiate = false;
  return inputs;
}

/// As in the first block: x is not differentiated either.
std::vector<InputSpec> first_block(std::vector<InputSpec> inputs) {
  inputs[0].differentiate = false;
  return frozen(std::move(inputs));
}

/// A weight in bf16. x is rounded, which finite differences cannot see through: its gradient is
/// linear_lora_backward's, a test of its own.
std::vector<InputSpec> bf16_weight(size_t x, size_t weight, std::vector<InputSpec> inputs) {
  inputs[x].differentiate = false;
  inputs[weight].dtype = DType::bf16;
  return inputs;
}

const std::vector<OpCase> cases = {
    {"one", begins({0}), {{{1}}, {{1, 1}}, {{1}}, {{1, 1}}, {{1, 1}}}},
    {"query_and_value",
     begins({0, 22}),
     {{{2, 3, 13}}, {{13, 33}}, {{33}}, {{13, 4}}, {{4, 11}}, {{13, 4}}, {{4, 11}}}},
    {"odd_ranks",
     begins({5, 16}),
     {{{31, 24}}, {{24, 37}}, absent(), {{24, 3}}, {{3, 7}}, {{24, 19}}, {{19, 20}}}},
    {"rank_64", begins({3}), frozen({{{67, 40}}, {{40, 48}}, {{48}}, {{40, 64}}, {{64, 45}}})},
    {"deep", begins({0, 80}),
     frozen({{{2, 100, 401}}, {{401, 120}}, {{120}}, {{401, 4}}, {{4, 40}}, {{401, 4}}, {{4, 40}}})},
    {"first_block", begins({0, 48}),
     first_block({{{1, 49, 24}}, {{24, 72}}, {{72}}, {{24, 4}}, {{4, 24}}, {{24, 4}}, {{4, 24}}})},
    {"many_rows", begins({1}), {{{4801, 3}}, {{3, 4}}, {{4}}, {{3, 2}}, {{2, 3}}}},
    {"bf16", begins({0, 22}),
     bf16_weight(0, 1, {{{2, 3, 13}}, {{13, 33}}, {{33}}, {{13, 4}}, {{4, 11}}, {{13, 4}}, {{4, 11}}})},
    {"bf16_deep", begins({0, 80}),
     bf16_weight(0, 1,
                 {{{2, 100, 801}}, {{801, 120}}, {{120}}, {{801, 4}}, {{4, 40}}, {{801, 4}}, {{4, 40}}})},
};

const std::vector<OpCase> backward_cases = {
    {"bf16", begins({0, 22}),
     bf16_weight(1, 3,
                 {{{2, 3, 33}},
                  {{2, 3, 13}},
                  {{2, 3, 8}},
                  {{13, 33}},
                  absent(),
                  {{13, 4}},
                  {{4, 11}},
                  {{13, 4}},
                  {{4, 11}}})},
    {"bf16_deep", begins({1}),
     bf16_weight(1, 3,
                 {{{200, 802}}, {{200, 40}}, {{200, 3}}, {{40, 802}}, absent(), {{40, 3}}, {{3, 500}}})},
};

SFR_OP_TEST(linear_lora, linear_lora_reference, cases);
SFR_OP_TEST(linear_lora_backward, backward_reference, backward_cases);

}  // namespace

}  // namespace sfr::test
