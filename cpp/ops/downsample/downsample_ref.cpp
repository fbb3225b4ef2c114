#include <map>

#include "graph/graph.h"
#include "native/expect.h"
#include "native/op_test.h"

namespace sfr::test {

namespace {

/// Calls body(output index, the eight values of its block) for every output voxel.
template <class T, class F>
void each_block(RefContext<T>& c, F body) {
  const auto& x = c.inputs[0];
  auto& y = c.outputs[0];
  int64_t i = 0;
  for (int64_t z = 0; z < y.dim(0); ++z)
    for (int64_t row = 0; row < y.dim(1); ++row)
      for (int64_t col = 0; col < y.dim(2); ++col, ++i) {
        std::vector<T> block;
        for (int64_t k = 0; k < 8; ++k)
          block.push_back(x[((2 * z + k / 4) * x.dim(1) + 2 * row + k / 2 % 2) * x.dim(2) + 2 * col + k % 2]);
        body(i, block);
      }
}

template <class T>
void mean_reference(RefContext<T>& c) {
  each_block(c, [&](int64_t i, const std::vector<T>& block) {
    T sum = 0;
    for (const T v : block) sum += v;
    c.outputs[0][i] = sum / 8;
  });
}

template <class T>
void majority_reference(RefContext<T>& c) {
  each_block(c, [&](int64_t i, const std::vector<T>& block) {
    std::map<T, int> counts;  // by ascending label: the first of the largest is the smallest id
    for (const T v : block) ++counts[v];
    int most = 0;
    for (const auto& entry : counts)
      if (entry.second > most) {
        most = entry.second;
        c.outputs[0][i] = entry.first;
      }
  });
}

InputSpec labels(Shape shape, double classes) {
  return {shape, DType::u8, Fill::labels, classes};
}

const std::vector<OpCase> mean_cases = {{"one", {}, {{{2, 2, 2}}}},
                                        {"odd", {}, {{{5, 7, 13}}}},
                                        {"vectors", {}, {{{4, 6, 70}}}},
                                        {"large", {}, {{{20, 46, 58}}}}};
const std::vector<OpCase> majority_cases = {{"one", {}, {labels({2, 2, 2}, 256)}},
                                            {"odd", {}, {labels({5, 7, 13}, 3)}},
                                            {"many_ties", {}, {labels({10, 14, 22}, 5)}},
                                            {"all_ids", {}, {labels({6, 7, 33}, 256)}}};

SFR_OP_TEST(downsample_mean, mean_reference, mean_cases);
SFR_OP_TEST(downsample_majority, majority_reference, majority_cases);

SFR_TEST("downsample: refuses an axis of one voxel") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {4, 1, 8}});
  expect_error([&] { graph.add_node("downsample_mean", {x}, {}, ""); }, "at least 2 voxels");
}

}  // namespace

}  // namespace sfr::test
