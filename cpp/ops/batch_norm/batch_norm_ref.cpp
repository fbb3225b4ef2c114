#include <cmath>

#include "core/rng.h"
#include "native/op_test.h"
#include "ops/batch_norm/batch_norm.h"

namespace sfr::test {

namespace {

/// Statistics are summed in double for both types: the float loop is to show the rounding of the formula, not
/// that of a naive sum, which would allow a careless kernel everything.
template <class T>
void take_moments(const RefTensor<T>& x, int64_t channel, T& center, T& spread) {
  const int64_t channels = x.type.shape.back(), rows = x.count() / channels;
  double mean = 0, variance = 0;
  for (int64_t r = 0; r < rows; ++r)
    mean += static_cast<double>(x[r * channels + channel]) / static_cast<double>(rows);
  for (int64_t r = 0; r < rows; ++r)
    variance +=
        std::pow(static_cast<double>(x[r * channels + channel]) - mean, 2) / static_cast<double>(rows);
  center = T(mean);
  spread = T(variance);
}

template <class T>
void batch_norm_reference(RefContext<T>& c) {
  const auto& a = c.template as<BatchNormAttributes>();
  const RefTensor<T>& x = c.inputs[0];
  const int64_t channels = x.type.shape.back(), rows = x.count() / channels;
  for (int64_t ch = 0; ch < channels; ++ch) {
    T center = c.inputs[3][ch], variance = c.inputs[4][ch];
    if (a.training) take_moments(x, ch, center, variance);
    const T scale = c.inputs[1][ch] / std::sqrt(variance + T(a.epsilon));
    for (int64_t r = 0; r < rows; ++r) {
      T y = (x[r * channels + ch] - center) * scale + c.inputs[2][ch];
      if (a.relu && y < 0) y = 0;
      c.outputs[0][r * channels + ch] = y + (c.has(5) ? c.inputs[5][r * channels + ch] : T(0));
    }
    c.outputs[1][ch] = center;
    c.outputs[2][ch] = variance;
  }
}

template <class T>
void statistics_reference(RefContext<T>& c) {
  const RefTensor<T>& x = c.inputs[0];
  for (int64_t ch = 0; ch < x.type.shape.back(); ++ch)
    take_moments(x, ch, c.outputs[0][ch], c.outputs[1][ch]);
}

template <class T>
void table_reference(RefContext<T>& c) {
  const int64_t channels = c.inputs[0].count();
  const T epsilon = T(c.template as<BatchNormTableAttributes>().epsilon);
  for (int64_t ch = 0; ch < channels; ++ch) {
    c.outputs[0][ch] = c.inputs[2][ch];
    c.outputs[0][channels + ch] = c.inputs[0][ch] / std::sqrt(c.inputs[3][ch] + epsilon);
    c.outputs[0][2 * channels + ch] = c.inputs[1][ch];
  }
}

template <class T>
void batch_norm_update_reference(RefContext<T>& c) {
  const auto& a = c.template as<BatchNormUpdateAttributes>();
  for (int64_t ch = 0; ch < c.inputs[0].count(); ++ch) {
    const T m = T(a.momentum), unbiased = a.count > 1 ? T(a.count) / T(a.count - 1) : T(1);
    c.inputs[0][ch] = (1 - m) * c.inputs[0][ch] + m * c.inputs[2][ch];
    c.inputs[1][ch] = (1 - m) * c.inputs[1][ch] + m * c.inputs[3][ch] * unbiased;
  }
}

enum class Skip { no, yes };

std::vector<InputSpec> inputs(const Shape& shape, Skip skip = Skip::no) {
  const Shape channels{shape.back()};
  std::vector<InputSpec> specs = {{shape},
                                  {channels, DType::f32, Fill::positive},
                                  {channels},
                                  {channels},
                                  {channels, DType::f32, Fill::positive}};
  specs[3].differentiate = specs[4].differentiate = false;
  if (skip == Skip::yes) specs.push_back({shape});
  return specs;
}

/// Mean 1000, deviation 1, and a first row of zeros as the edge of a scan has it.
std::vector<InputSpec> far_from_zero() {
  std::vector<InputSpec> specs = inputs({1, 12, 11, 10, 3});
  specs[0].values.assign(1320 * 3, 0.0);
  for (size_t i = 3; i < specs[0].values.size(); ++i) {
    const auto w = philox({3, 0, 0}, i);
    specs[0].values[i] = static_cast<float>(1000 + normals_from_words(w[0], w[1])[0]);
  }
  return specs;
}

/// The same without the row of zeros: the variance is 1, so a lost digit shows.
std::vector<InputSpec> far_and_narrow() {
  std::vector<InputSpec> specs = far_from_zero();
  for (size_t i = 0; i < 3; ++i) specs[0].values[i] = 1001;
  return specs;
}

const AttributeMap eval = {{"training", false}}, relu = {{"relu", true}},
                   eval_relu = {{"training", false}, {"relu", true}, {"epsilon", 1e-3}};

const std::vector<OpCase> cases = {
    {"single", {}, inputs({1, 1}), true},  // one element has variance 0
    {"prime_channels", {}, inputs({2, 3, 5, 13})},
    {"one_channel", relu, inputs({1, 7, 11, 3, 1})},
    {"channels_4_relu_skip", relu, inputs({2, 5, 7, 3, 4}, Skip::yes)},
    {"channels_16_skip", {}, inputs({2, 3, 5, 7, 16}, Skip::yes)},
    {"channels_31_relu", relu, inputs({1, 5, 7, 3, 31})},
    {"channels_100_relu_skip", relu, inputs({37, 100}, Skip::yes)},
    {"vnet_chunks", relu, inputs({2, 12, 12, 10, 8})},
    {"many_channels", {}, inputs({5, 1031})},
    {"eval", eval, inputs({2, 3, 5, 7})},
    {"eval_relu_skip", eval_relu, inputs({2, 3, 5, 24}, Skip::yes)},
    {"far_from_zero", {}, far_from_zero()},
    {"far_and_narrow", {}, far_and_narrow()},
};

std::vector<InputSpec> update_inputs() {
  std::vector<InputSpec> specs = {
      {{13}}, {{13}, DType::f32, Fill::positive}, {{13}}, {{13}, DType::f32, Fill::positive}};
  specs[0].state = specs[1].state = true;
  return specs;
}

const std::vector<OpCase> update_cases = {
    {"count_7", {{"momentum", 0.1}, {"count", 7.0}}, update_inputs()},
    {"count_1", {{"momentum", 0.25}, {"count", 1.0}}, update_inputs()},
};

SFR_OP_TEST(batch_norm, batch_norm_reference, cases);
const std::vector<OpCase> statistics_cases = {
    {"single", {}, {{{1, 1}}}, true},  // one element has variance 0
    {"vnet_chunks", {}, {{{2, 12, 12, 10, 16}}}},
    {"many_channels", {}, {{{5, 1031}}}},
    {"far_from_zero", {}, {far_from_zero()[0]}},
};

const std::vector<OpCase> table_cases = {
    {"channels_13", {{"epsilon", 1e-3}}, {{{13}}, {{13}}, {{13}}, {{13}, DType::f32, Fill::positive}}},
};

SFR_OP_TEST(batch_norm_statistics, statistics_reference, statistics_cases);
SFR_OP_TEST(batch_norm_table, table_reference, table_cases);
SFR_OP_TEST(batch_norm_update, batch_norm_update_reference, update_cases);

}  // namespace

}  // namespace sfr::test
