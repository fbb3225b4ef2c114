#include "native/op_test.h"
#include "ops/space_to_depth/space_to_depth.h"

namespace sfr::test {

namespace {

/// Calls f(fine, coarse) with the element offsets of each pair.
template <class F>
void over_pairs(const Shape& fine, const std::array<int64_t, 3>& b, F f) {
  const int64_t channels = fine[4];
  for (int64_t i = 0; i < fine.count(); ++i) {
    const int64_t ch = i % channels, x = i / channels % fine[3], y = i / channels / fine[3] % fine[2],
                  z = i / channels / fine[3] / fine[2] % fine[1], n = i / fine.count(1, 5);
    const int64_t voxel =
        ((n * (fine[1] / b[0]) + z / b[0]) * (fine[2] / b[1]) + y / b[1]) * (fine[3] / b[2]) + x / b[2];
    const int64_t within = (z % b[0] * b[1] + y % b[1]) * b[2] + x % b[2];
    f(i, (voxel * b[0] * b[1] * b[2] + within) * channels + ch);
  }
}

template <class T>
void space_to_depth_reference(RefContext<T>& c) {
  over_pairs(c.inputs[0].type.shape, c.template as<BlockAttributes>().block,
             [&](int64_t fine, int64_t coarse) { c.outputs[0][coarse] = c.inputs[0][fine]; });
}

template <class T>
void depth_to_space_reference(RefContext<T>& c) {
  const int64_t channels = c.outputs[0].type.shape[4];
  over_pairs(c.outputs[0].type.shape, c.template as<BlockAttributes>().block,
             [&](int64_t fine, int64_t coarse) {
               c.outputs[0][fine] = c.inputs[0][coarse] + (c.has(1) ? c.inputs[1][fine % channels] : T(0));
             });
}

const std::vector<double> one = {1, 1, 1}, two = {2, 2, 2}, uneven = {3, 1, 2}, flat = {1, 2, 5};

const std::vector<OpCase> cases = {
    {"one", {{"block", one}}, {{{1, 1, 1, 1, 1}}}},       {"vnet", {{"block", two}}, {{{2, 4, 6, 4, 8}}}},
    {"uneven", {{"block", uneven}}, {{{1, 6, 3, 4, 5}}}}, {"flat", {{"block", flat}}, {{{1, 1, 4, 15, 7}}}},
    {"chunks", {{"block", two}}, {{{1, 20, 18, 22, 3}}}},
};

const std::vector<OpCase> inverse_cases = {
    {"one", {{"block", one}}, {{{1, 1, 1, 1, 1}}, {{1}}}},
    {"vnet", {{"block", two}}, {{{2, 2, 3, 2, 64}}, {{8}}}},
    {"no_bias", {{"block", two}}, {{{1, 2, 3, 5, 24}}}},
    {"uneven", {{"block", uneven}}, {{{1, 2, 3, 2, 30}}, {{5}}}},
    {"chunks", {{"block", two}}, {{{1, 10, 9, 11, 24}}, {{3}}}},
};

SFR_OP_TEST(space_to_depth, space_to_depth_reference, cases);
SFR_OP_TEST(depth_to_space, depth_to_space_reference, inverse_cases);

}  // namespace

}  // namespace sfr::test
