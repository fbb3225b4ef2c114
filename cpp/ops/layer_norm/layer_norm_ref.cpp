#include <cmath>

#include "native/op_test.h"
#include "ops/layer_norm/layer_norm.h"

namespace sfr::test {

namespace {

template <class T>
void layer_norm_reference(RefContext<T>& c) {
  const int64_t channels = c.inputs[1].count(), rows = c.inputs[0].count() / channels;
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = &c.inputs[0][row * channels];
    T mean = 0, variance = 0;
    for (int64_t i = 0; i < channels; ++i) mean += x[i] / T(channels);
    for (int64_t i = 0; i < channels; ++i) variance += (x[i] - mean) * (x[i] - mean) / T(channels);
    const T rstd = 1 / std::sqrt(variance + T(c.template as<LayerNormAttributes>().epsilon));
    for (int64_t i = 0; i < channels; ++i)
      c.outputs[0][row * channels + i] = (x[i] - mean) * rstd * c.inputs[1][i] + c.inputs[2][i];
    c.outputs[1][row] = mean;
    c.outputs[2][row] = rstd;
  }
}

/// One row of values near 1e4 whose spread is 1.
std::vector<double> far_from_zero() {
  std::vector<double> values;
  for (int i = 0; i < 96; ++i) values.push_back(static_cast<float>(1e4 + std::sin(i * 1.7)));
  return values;
}

const std::vector<OpCase> cases = {
    {"one_row", {}, {{{7}}, {{7}}, {{7}}}},
    {"odd", {}, {{{3, 5, 13}}, {{13}}, {{13}}}},
    {"two_channels", {{"epsilon", 0.1}}, {{{19, 2}}, {{2}}, {{2}}}},
    {"tokens", {{"epsilon", 1e-6}}, {{{2, 67, 64}}, {{64}}, {{64}}}},
    {"many_rows", {}, {{{1031, 33}}, {{33}}, {{33}}}},
    {"large_values", {}, {{{3, 40}, DType::f32, Fill::normal, 1e4}, {{40}}, {{40}}}},
    // The float loop's mean is off by 1e-4 here; ours is corrected and must do a hundred times better.
    {"far_from_zero",
     {},
     {{{96}, DType::f32, Fill::normal, 1, false, false, far_from_zero()}, {{96}}, {{96}}},
     false,
     0.01},
};

SFR_OP_TEST(layer_norm, layer_norm_reference, cases);

}  // namespace

}  // namespace sfr::test
