#include <algorithm>
#include <numeric>

#include "core/rng.h"
#include "native/op_test.h"
#include "ops/mix_cubes/mix_cubes.h"

namespace sfr::test {

namespace {

template <class T>
void mix_cubes_reference(RefContext<T>& c) {
  const auto& a = c.template as<MixCubesAttributes>();
  const auto word = [&](int64_t i) { return static_cast<uint32_t>(static_cast<int64_t>(c.inputs[1][i])); };
  const RandomKey key = {uint64_t{word(1)} << 32 | word(0), word(2), stream_id(a.stream)};
  const auto& x = c.inputs[0];
  const int64_t samples = x.dim(0), each = x.count() / samples;
  for (int64_t i = 0; i < each; ++i) {
    const int64_t voxel = i / x.dim(4);
    const int64_t column = voxel % x.dim(3) / a.side, row = voxel / x.dim(3) % x.dim(2) / a.side;
    const int64_t slab = voxel / (x.dim(3) * x.dim(2)) / a.side;
    const int64_t p = (slab * (x.dim(2) / a.side) + row) * (x.dim(3) / a.side) + column;
    std::vector<float> draws;
    for (int64_t b = 0; b < samples; ++b) {
      const auto at = static_cast<uint64_t>(p * samples + b);
      draws.push_back(uniform_from_word(philox(key, at / 4)[at % 4]));
    }
    std::vector<int64_t> order(static_cast<size_t>(samples));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t l, int64_t r) { return draws[size_t(l)] < draws[size_t(r)]; });
    for (int64_t b = 0; b < samples; ++b) {
      const int64_t mixed = b * each + i, original = order[size_t(b)] * each + i;
      c.outputs[0][a.undo ? original : mixed] = x[a.undo ? mixed : original];
    }
  }
}

const InputSpec rng = {{3}, DType::i32, Fill::normal, 1, false, false, {1234567, 89, 41}};
const InputSpec other_step = {{3}, DType::i32, Fill::normal, 1, false, false, {1234567, 89, 42}};
const std::string name = "cubes";

const std::vector<OpCase> cases = {
    {"voxels", {{"side", 1.0}, {"stream", name}}, {{{5, 1, 2, 3, 1}}, rng}},
    {"cubes", {{"side", 2.0}, {"stream", name}}, {{{4, 4, 2, 6, 3}}, rng}},
    {"next_step", {{"side", 2.0}, {"stream", name}}, {{{4, 4, 2, 6, 3}}, other_step}},
    {"undo", {{"side", 2.0}, {"stream", name}, {"undo", true}}, {{{4, 4, 2, 6, 3}}, rng}},
    {"one_sample", {{"side", 3.0}, {"stream", name}}, {{{1, 3, 3, 6, 2}}, rng}},
};

SFR_OP_TEST(mix_cubes, mix_cubes_reference, cases);

}  // namespace

}  // namespace sfr::test
