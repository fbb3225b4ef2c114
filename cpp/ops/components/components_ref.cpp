#include <cstdlib>

#include "native/op_test.h"
#include "ops/components/components.h"

namespace sfr::test {

namespace {

/// Whether two voxels of a volume h x w in the slice are neighbours: no axis differs by more than 1 (26), or
/// one axis by 1 (6).
bool near(int64_t i, int64_t j, int64_t h, int64_t w, bool all26) {
  const int64_t dz = std::abs(i / (h * w) - j / (h * w)), dy = std::abs(i / w % h - j / w % h),
                dx = std::abs(i % w - j % w);
  return all26 ? dz <= 1 && dy <= 1 && dx <= 1 : dz + dy + dx == 1;
}

/// Components of equal labels, by flood fill from each voxel in order; indices of their voxels.
template <class T>
std::vector<std::vector<int64_t>> components_of(const RefTensor<T>& x, int64_t n, bool all26) {
  const int64_t h = x.dim(2), w = x.dim(3), voxels = x.dim(1) * h * w;
  std::vector<bool> seen(static_cast<size_t>(voxels), false);
  std::vector<std::vector<int64_t>> found;
  for (int64_t first = 0; first < voxels; ++first) {
    if (seen[static_cast<size_t>(first)]) continue;
    std::vector<int64_t> component = {first};
    seen[static_cast<size_t>(first)] = true;
    for (size_t k = 0; k < component.size(); ++k)
      for (int64_t j = 0; j < voxels; ++j) {
        if (seen[static_cast<size_t>(j)] || x[n * voxels + j] != x[n * voxels + first]) continue;
        if (!near(component[k], j, h, w, all26)) continue;
        seen[static_cast<size_t>(j)] = true;
        component.push_back(j);
      }
    found.push_back(component);
  }
  return found;
}

template <class T>
void largest_component_reference(RefContext<T>& c) {
  const RefTensor<T>& x = c.inputs[0];
  const int64_t voxels = x.dim(1) * x.dim(2) * x.dim(3);
  for (int64_t n = 0; n < x.dim(0); ++n) {
    std::vector<std::vector<int64_t>> best(256);
    for (const auto& component : components_of(x, n, true)) {
      auto& kept = best[static_cast<size_t>(x[n * voxels + component[0]])];
      if (component.size() > kept.size()) kept = component;
    }
    for (size_t label = 1; label < best.size(); ++label)
      for (const int64_t i : best[label]) c.outputs[0][n * voxels + i] = T(label);
  }
}

template <class T>
void drop_small_components_reference(RefContext<T>& c) {
  const RefTensor<T>& x = c.inputs[0];
  const int64_t voxels = x.dim(1) * x.dim(2) * x.dim(3);
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (const auto& component : components_of(x, n, true))
      if (component.size() >= static_cast<size_t>(c.template as<DropSmallComponentsAttributes>().voxels))
        for (const int64_t i : component) c.outputs[0][n * voxels + i] = x[n * voxels + i];
}

template <class T>
void fill_holes_reference(RefContext<T>& c) {
  const RefTensor<T>& x = c.inputs[0];
  const int64_t d = x.dim(1), h = x.dim(2), w = x.dim(3), voxels = d * h * w;
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (const auto& component : components_of(x, n, false)) {
      const T label = x[n * voxels + component[0]];
      std::vector<T> around;
      bool inside = label == 0;
      for (const int64_t i : component) {
        const int64_t z = i / (h * w), y = i / w % h, column = i % w;
        inside = inside && z > 0 && z < d - 1 && y > 0 && y < h - 1 && column > 0 && column < w - 1;
        for (int64_t j = 0; j < voxels; ++j)
          if (near(i, j, h, w, false) && x[n * voxels + j] != 0) around.push_back(x[n * voxels + j]);
      }
      for (const T& other : around) inside = inside && other == around[0];
      for (const int64_t i : component) c.outputs[0][n * voxels + i] = inside ? around[0] : label;
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

const std::vector<OpCase> largest_cases = {
    {"equal_sizes", {}, {labels({1, 1, 1, 7}, {1, 1, 0, 1, 1, 0, 2})}},
    {"corner", {}, {labels({1, 2, 2, 3}, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})}},
    {"second_is_larger", {}, {labels({1, 1, 2, 4}, {1, 0, 1, 1, 0, 0, 2, 0})}},
    {"empty", {}, {labels({2, 2, 3, 3}, std::vector<double>(36, 0))}, true},
    {"two_samples", {}, {labels({2, 5, 6, 7}, sparse(420, 2, 4))}, true},
    {"three_classes", {}, {labels({1, 7, 11, 9}, sparse(693, 3, 7))}, true},
};

/// Shells: a box of class 1 with a hole, one of two classes around a hole, one open to a face, one that is
/// solid.
std::vector<double> shells(int64_t d, int64_t h, int64_t w) {
  std::vector<double> values;
  for (int64_t i = 0; i < d * h * w; ++i) {
    const int64_t z = i / (h * w), y = i / w % h, column = i % w;
    const bool rind = z % (d - 1) <= 1 || y % (h - 1) <= 1 || column % 4 == 1;
    const bool open = column < 4 && y == 2 && z < 3;
    values.push_back(rind && !open ? (column > 9 && z == 1 ? 2 : 1) : 0);
  }
  return values;
}

const std::vector<OpCase> small_cases = {
    {"one_voxel", {{"voxels", 1.0}}, {labels({1, 1, 1, 7}, {1, 1, 0, 1, 1, 0, 2})}},
    {"pairs", {{"voxels", 2.0}}, {labels({1, 1, 1, 7}, {1, 1, 0, 1, 1, 0, 2})}},
    {"two_samples", {{"voxels", 5.0}}, {labels({2, 5, 6, 7}, sparse(420, 2, 4))}, true},
    {"three_classes", {{"voxels", 3.0}}, {labels({1, 7, 11, 9}, sparse(693, 3, 7))}, true},
};
const std::vector<OpCase> hole_cases = {
    {"flat", {}, {labels({1, 1, 3, 3}, {1, 1, 1, 1, 0, 1, 1, 1, 1})}},
    {"shells", {}, {labels({1, 6, 7, 14}, shells(6, 7, 14))}},
    {"dense", {}, {labels({2, 5, 6, 7}, sparse(420, 3, 3))}},
};

SFR_OP_TEST(largest_component, largest_component_reference, largest_cases);
SFR_OP_TEST(drop_small_components, drop_small_components_reference, small_cases);
SFR_OP_TEST(fill_holes, fill_holes_reference, hole_cases);

}  // namespace

}  // namespace sfr::test
