#include "native/op_test.h"
#include "ops/strided_conv3d/strided_conv3d.h"

namespace sfr::test {

namespace {

using Block = std::array<int64_t, 3>;

/// Calls f(voxel, row, within) for all voxels of a fine volume: its block, and where it stands within.
template <class F>
void over_voxels(const Shape& fine, const Block& b, F f) {
  for (int64_t i = 0; i < fine.count(0, 4); ++i) {
    const int64_t x = i % fine[3], y = i / fine[3] % fine[2], z = i / fine[3] / fine[2] % fine[1],
                  n = i / fine.count(1, 4);
    const int64_t row =
        ((n * (fine[1] / b[0]) + z / b[0]) * (fine[2] / b[1]) + y / b[1]) * (fine[3] / b[2]) + x / b[2];
    f(i, row, (z % b[0] * b[1] + y % b[1]) * b[2] + x % b[2]);
  }
}

template <class T>
void strided_reference(RefContext<T>& c) {
  const RefTensor<T> x =
      c.has(kStridedConv3dNorm) ? normalised(c.inputs[0], c.inputs[kStridedConv3dNorm]) : c.inputs[0];
  const RefTensor<T>& w = c.inputs[1];
  RefTensor<T>& y = c.outputs[0];
  const int64_t channels = x.dim(4), outputs = w.dim(1);
  for (int64_t i = 0; c.has(2) && i < y.count(); ++i) y[i] = c.inputs[2][i % outputs];
  over_voxels(x.type.shape, c.template as<StridedConv3dAttributes>().block,
              [&](int64_t voxel, int64_t row, int64_t within) {
                for (int64_t ch = 0; ch < channels; ++ch)
                  for (int64_t o = 0; o < outputs; ++o)
                    y[row * outputs + o] +=
                        x[voxel * channels + ch] * w[(within * channels + ch) * outputs + o];
              });
}

template <class T>
void transposed_reference(RefContext<T>& c) {
  const RefTensor<T>&x = c.inputs[0], &w = c.inputs[1];
  RefTensor<T>& y = c.outputs[0];
  const int64_t channels = y.dim(4), inputs = w.dim(0), width = w.dim(1);
  over_voxels(y.type.shape, c.template as<StridedConv3dAttributes>().block,
              [&](int64_t voxel, int64_t row, int64_t within) {
                for (int64_t ch = 0; ch < channels; ++ch) {
                  T sum = c.has(2) ? c.inputs[2][ch] : T(0);
                  for (int64_t i = 0; i < inputs; ++i)
                    sum += x[row * inputs + i] * w[i * width + within * channels + ch];
                  y[voxel * channels + ch] = sum;
                }
              });
}

template <class T>
void strided_weight_reference(RefContext<T>& c) {
  const RefTensor<T> x = c.has(kStridedConv3dWeightNorm)
                             ? normalised(c.inputs[0], c.inputs[kStridedConv3dWeightNorm])
                             : c.inputs[0];
  const RefTensor<T>& dy = c.inputs[1];
  const int64_t channels = x.dim(4), outputs = dy.dim(4);
  over_voxels(x.type.shape, c.template as<StridedConv3dWeightAttributes>().block,
              [&](int64_t voxel, int64_t row, int64_t within) {
                for (int64_t ch = 0; ch < channels; ++ch)
                  for (int64_t o = 0; o < outputs; ++o)
                    c.outputs[0][(within * channels + ch) * outputs + o] +=
                        x[voxel * channels + ch] * dy[row * outputs + o];
              });
}

/// Nothing is differentiated by the time a norm comes in.
std::vector<InputSpec> constants(std::vector<InputSpec> inputs) {
  for (InputSpec& input : inputs) input.differentiate = false;
  return inputs;
}

std::vector<InputSpec> frozen_weight(std::vector<InputSpec> inputs) {
  inputs[1].differentiate = false;
  return inputs;
}

const std::vector<double> one = {1, 1, 1}, two = {2, 2, 2}, uneven = {3, 1, 2}, flat = {1, 2, 5};

const std::vector<OpCase> cases = {
    {"one", {{"block", one}}, {{{1, 1, 1, 1, 1}}, {{1, 1}}, {{1}}}},
    {"vnet_16_to_32", {{"block", two}}, {{{1, 4, 6, 56, 16}}, {{128, 32}}, {{32}}}},
    {"vnet_128_to_256", {{"block", two}}, {{{1, 2, 4, 14, 128}}, {{1024, 256}}, {{256}}}},
    {"steps", {{"block", two}}, {{{2, 18, 10, 22, 3}}, {{24, 5}}}},
    {"uneven", {{"block", uneven}}, {{{1, 6, 3, 4, 5}}, {{30, 7}}, {{7}}}},
    {"norm", {{"block", two}}, constants({{{1, 4, 6, 56, 16}}, {{128, 32}}, {{32}}, {{3, 16}}})},
    {"norm_odd", {{"block", uneven}}, constants({{{1, 6, 3, 4, 5}}, {{30, 7}}, {{7}}, {{3, 5}}})},
    {"flat", {{"block", flat}}, {{{1, 1, 4, 15, 7}}, {{70, 33}}}},
    {"bias_alone", {{"block", two}}, frozen_weight({{{1, 2, 4, 6, 4}}, {{32, 6}}, {{6}}})},
};

const std::vector<OpCase> strided_weight_cases = {
    {"norm", {{"block", two}}, {{{1, 4, 6, 56, 16}}, {{1, 2, 3, 28, 32}}, {{3, 16}}}},
    {"norm_odd", {{"block", uneven}}, {{{1, 6, 3, 4, 5}}, {{1, 2, 3, 2, 7}}, {{3, 5}}}},
};

const std::vector<OpCase> transposed_cases = {
    {"one", {{"block", one}}, {{{1, 1, 1, 1, 1}}, {{1, 1}}, {{1}}}},
    {"vnet_32_to_16", {{"block", two}}, {{{1, 2, 3, 28, 32}}, {{32, 128}}, {{16}}}},
    {"vnet_256_to_128", {{"block", two}}, {{{1, 1, 2, 7, 256}}, {{256, 1024}}, {{128}}}},
    {"steps", {{"block", two}}, {{{2, 9, 5, 11, 5}}, {{5, 24}}}},
    {"uneven", {{"block", uneven}}, {{{1, 2, 3, 2, 7}}, {{7, 30}}, {{5}}}},
    {"flat", {{"block", flat}}, {{{1, 1, 2, 3, 33}}, {{33, 70}}}},
    {"bias_alone", {{"block", two}}, frozen_weight({{{1, 1, 2, 3, 6}}, {{6, 32}}, {{4}}})},
};

SFR_OP_TEST(strided_conv3d, strided_reference, cases);
SFR_OP_TEST(strided_conv3d_backward_weight, strided_weight_reference, strided_weight_cases);
SFR_OP_TEST(transposed_conv3d, transposed_reference, transposed_cases);

}  // namespace

}  // namespace sfr::test
