#include <cstdlib>

#include "native/op_test.h"

namespace sfr::test {

namespace {

/// Flood fill from each voxel in order; voxels of one sample are neighbours when no axis differs by more
/// than 1.
template <class T>
void largest_component_reference(RefContext<T>& c) {
  const RefTensor<T>& x = c.inputs[0];
  const int64_t h = x.dim(2), w = x.dim(3), voxels = x.dim(1) * h * w;
  for (int64_t n = 0; n < x.dim(0); ++n) {
    std::vector<bool> seen(static_cast<size_t>(voxels), false);
    std::vector<std::vector<int64_t>> best(256);
    for (int64_t first = 0; first < voxels; ++first) {
      const T label = x[n * voxels + first];
      if (label == 0 || seen[static_cast<size_t>(first)]) continue;
      std::vector<int64_t> component = {first};
      seen[static_cast<size_t>(first)] = true;
      for (size_t k = 0; k < component.size(); ++k) {
        const int64_t i = component[k];
        for (int64_t j = 0; j < voxels; ++j) {
          const bool near = std::abs(i / (h * w) - j / (h * w)) <= 1 &&
                            std::abs(i / w % h - j / w % h) <= 1 && std::abs(i % w - j % w) <= 1;
          if (!near || seen[static_cast<size_t>(j)] || x[n * voxels + j] != label) continue;
          seen[static_cast<size_t>(j)] = true;
          component.push_back(j);
        }
      }
      auto& kept = best[static_cast<size_t>(label)];
      if (component.size() > kept.size()) kept = component;
    }
    for (size_t label = 1; label < best.size(); ++label)
      for (const int64_t i : best[label]) c.outputs[0][n * voxels + i] = T(label);
  }
}

InputSpec labels(const Shape& shape, std::vector<double> values) {
  return {shape, DType::u8, Fill::labels, 1, false, false, std::move(values)};
}

/// Sparse labels: many components, most of them small. About one voxel in `spread` is of each class 1 ..
/// classes - 1.
std::vector<double> sparse(int64_t count, int classes, int spread) {
  std::vector<double> values;
  uint32_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    const int draw = static_cast<int>((state >> 16) % static_cast<uint32_t>(spread));
    values.push_back(draw < classes ? draw : 0);
  }
  return values;
}

const std::vector<OpCase> cases = {
    {"equal_sizes", {}, {labels({1, 1, 1, 7}, {1, 1, 0, 1, 1, 0, 2})}},
    {"corner", {}, {labels({1, 2, 2, 3}, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})}},
    {"second_is_larger", {}, {labels({1, 1, 2, 4}, {1, 0, 1, 1, 0, 0, 2, 0})}},
    {"empty", {}, {labels({2, 2, 3, 3}, std::vector<double>(36, 0))}, true},
    {"two_samples", {}, {labels({2, 5, 6, 7}, sparse(420, 2, 4))}, true},
    {"three_classes", {}, {labels({1, 7, 11, 9}, sparse(693, 3, 7))}, true},
};

SFR_OP_TEST(largest_component, largest_component_reference, cases);

}  // namespace

}  // namespace sfr::test
