#include <cmath>

#include "graph/graph.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/instance_norm/instance_norm.h"

namespace sfr::test {

namespace {

/// Statistics are summed in double for both types, as in the reference of batch_norm.
template <class T>
void instance_norm_reference(RefContext<T>& c) {
  const auto& a = c.template as<BatchNormAttributes>();
  const RefTensor<T>& x = c.inputs[0];
  const int64_t samples = x.dim(0), channels = x.type.shape.back(), rows = x.count() / (samples * channels);
  for (int64_t n = 0; n < samples; ++n)
    for (int64_t ch = 0; ch < channels; ++ch) {
      const auto value = [&](int64_t row) { return (n * rows + row) * channels + ch; };
      double mean = 0, variance = 0;
      for (int64_t row = 0; row < rows; ++row)
        mean += static_cast<double>(x[value(row)]) / static_cast<double>(rows);
      for (int64_t row = 0; row < rows; ++row)
        variance += std::pow(static_cast<double>(x[value(row)]) - mean, 2) / static_cast<double>(rows);
      const int64_t at = n * channels + ch;
      c.outputs[1][at] = a.training ? T(mean) : c.inputs[1][at];
      c.outputs[2][at] = a.training ? T(variance) : c.inputs[2][at];
      const T scale = T(1) / std::sqrt(c.outputs[2][at] + T(a.epsilon));
      for (int64_t row = 0; row < rows; ++row) {
        const T y = (x[value(row)] - c.outputs[1][at]) * scale;
        c.outputs[0][value(row)] = a.relu && y < 0 ? T(0) : y;
      }
    }
}

std::vector<InputSpec> given(const Shape& shape) {
  const Shape statistics{shape[0], shape.back()};
  std::vector<InputSpec> specs = {{shape}, {statistics}, {statistics, DType::f32, Fill::positive}};
  specs[1].differentiate = specs[2].differentiate = false;
  return specs;
}

const AttributeMap relu = {{"relu", true}}, replayed = {{"training", false}, {"relu", true}};

const std::vector<OpCase> cases = {
    {"single", {}, {{{2, 1}}}, true},  // one element has variance 0
    {"prime_channels", {}, {{{3, 3, 5, 13}}}},
    {"one_channel", relu, {{{2, 7, 11, 3, 1}}}},
    {"channels_31_relu", relu, {{{2, 5, 7, 3, 31}}}},
    {"unet_chunks", relu, {{{2, 12, 12, 10, 16}}}},
    {"bottleneck", relu, {{{4, 1, 2, 3, 256}}}},
    {"many_channels", {}, {{{2, 5, 1031}}}},
    {"given", replayed, given({3, 2, 3, 5, 7})},
    {"given_vectors", {{"training", false}, {"epsilon", 1e-3}}, given({2, 9, 24})},
};

SFR_OP_TEST(instance_norm, instance_norm_reference, cases);

SFR_TEST("instance_norm: statistics are given where it does not take them, and only there") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {2, 3, 4}}),
                mean = graph.add_input("m", {DType::f32, {2, 4}});
  expect_error([&] { graph.add_node("instance_norm", {x, mean, mean}, {}, ""); }, "none when training");
  expect_error(
      [&] {
        graph.add_node("instance_norm", {x}, {{"training", false}}, "");
      },
      "both when not training");
}

}  // namespace

}  // namespace sfr::test
