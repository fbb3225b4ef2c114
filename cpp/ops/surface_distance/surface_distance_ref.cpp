#include <cmath>
#include <limits>

#include "graph/graph.h"
#include "graph/program.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/surface_distance/surface_distance.h"

namespace sfr::test {

namespace {

template <class T>
bool is_inside(const RefTensor<T>& v, int64_t z, int64_t y, int64_t x) {
  return z >= 0 && z < v.dim(0) && y >= 0 && y < v.dim(1) && x >= 0 && x < v.dim(2) &&
         v[(z * v.dim(1) + y) * v.dim(2) + x] != 0;
}

template <class T>
void border_reference(RefContext<T>& c) {
  const auto& v = c.inputs[0];
  int64_t i = 0;
  for (int64_t z = 0; z < v.dim(0); ++z)
    for (int64_t y = 0; y < v.dim(1); ++y)
      for (int64_t x = 0; x < v.dim(2); ++x)
        c.outputs[0][i++] =
            is_inside(v, z, y, x) &&
            !(is_inside(v, z - 1, y, x) && is_inside(v, z + 1, y, x) && is_inside(v, z, y - 1, x) &&
              is_inside(v, z, y + 1, x) && is_inside(v, z, y, x - 1) && is_inside(v, z, y, x + 1));
}

template <class T>
void surface_codes_reference(RefContext<T>& c) {
  const auto& v = c.inputs[0];
  int64_t i = 0;
  for (int64_t z = 0; z <= v.dim(0); ++z)
    for (int64_t y = 0; y <= v.dim(1); ++y)
      for (int64_t x = 0; x <= v.dim(2); ++x) {
        int code = 0;
        for (int corner = 0; corner < 8; ++corner)
          if (is_inside(v, z - 1 + corner / 4, y - 1 + corner / 2 % 2, x - 1 + corner % 2))
            code |= 1 << corner;
        c.outputs[0][i++] = code == 255 ? 0 : code;
      }
}

template <class T>
std::vector<std::array<int64_t, 3>> marks(const RefTensor<T>& v) {
  std::vector<std::array<int64_t, 3>> found;
  for (int64_t z = 0; z < v.dim(0); ++z)
    for (int64_t y = 0; y < v.dim(1); ++y)
      for (int64_t x = 0; x < v.dim(2); ++x)
        if (is_inside(v, z, y, x)) found.push_back({z, y, x});
  return found;
}

/// Every mark of a against every one of b.
template <class T>
void surface_distance_reference(RefContext<T>& c) {
  const auto& spacing = c.template as<SurfaceDistanceAttributes>().spacing;
  const auto& a = c.inputs[0];
  const auto targets = marks(c.inputs[1]);
  for (T& y : c.outputs[0].data) y = -1;
  for (const auto& p : marks(a)) {
    T nearest = std::numeric_limits<T>::infinity();
    for (const auto& q : targets) {
      T sum = 0;
      for (size_t axis = 0; axis < 3; ++axis) {
        const T step = T(p[axis] - q[axis]) * T(spacing[2 - axis]);
        sum += step * step;
      }
      nearest = std::min(nearest, std::sqrt(sum));
    }
    c.outputs[0][(p[0] * a.dim(1) + p[1]) * a.dim(2) + p[2]] = nearest;
  }
}

InputSpec object(Shape shape, std::array<double, 3> centre, double radius) {
  InputSpec spec = {shape, DType::u8};
  for (int64_t z = 0; z < shape[0]; ++z)
    for (int64_t y = 0; y < shape[1]; ++y)
      for (int64_t x = 0; x < shape[2]; ++x) {
        const double dx = double(x) - centre[0], dy = double(y) - centre[1], dz = double(z) - centre[2];
        spec.values.push_back(dx * dx + dy * dy + 2 * dz * dz <= radius * radius ? 3 : 0);
      }
  return spec;
}

InputSpec labels(Shape shape, double classes) {
  return {shape, DType::u8, Fill::labels, classes};
}

const std::vector<double> isotropic = {1, 1, 1}, thick = {0.8, 0.7, 2.5};
const std::vector<OpCase> cases = {
    {"pair",
     {{"spacing", isotropic}},
     {object({1, 1, 2}, {0, 0, 0}, 0.5), object({1, 1, 2}, {1, 0, 0}, 0.5)}},
    {"noise", {{"spacing", thick}}, {labels({7, 11, 13}, 2), labels({7, 11, 13}, 3)}},
    {"spheres",
     {{"spacing", thick}},
     {object({19, 31, 29}, {12, 14, 9}, 9), object({19, 31, 29}, {17, 15, 7}, 8)}},
    {"apart_at_the_edge",
     {{"spacing", isotropic}},
     {object({9, 40, 37}, {0, 3, 2}, 6), object({9, 40, 37}, {36, 38, 8}, 4)}},
    {"a_voxel_far_away",
     {{"spacing", thick}},
     {object({5, 9, 67}, {1, 4, 2}, 5), object({5, 9, 67}, {66, 0, 4}, 0.5)}},
    {"a_is_empty", {{"spacing", thick}}, {object({5, 7, 9}, {-9, 0, 0}, 1), object({5, 7, 9}, {3, 3, 2}, 2)}},
};

SFR_OP_TEST(surface_distance, surface_distance_reference, cases);

const std::vector<OpCase> mask_cases = {
    {"voxel", {}, {object({1, 1, 1}, {0, 0, 0}, 0.5)}},
    {"noise", {}, {labels({7, 11, 13}, 2)}},
    {"mostly_inside", {}, {labels({5, 6, 70}, 9)}},
    {"sphere_at_the_edge", {}, {object({9, 20, 17}, {0, 9, 4}, 9)}},
};

SFR_OP_TEST(border, border_reference, mask_cases);
SFR_OP_TEST(surface_codes, surface_codes_reference, mask_cases);

SFR_TEST("surface_distance: infinite when b is empty, -1 when both are; refuses a spacing of 0") {
  const TensorType type = {DType::u8, {3, 4, 5}};
  Graph graph;
  const ValueId a = graph.add_input("a", type), b = graph.add_input("b", type);
  const ValueId y = graph.add_node("surface_distance", {a, b}, {}, "")[0];
  const std::vector<double> flat = {1, 0, 1};
  expect_error([&] { graph.add_node("surface_distance", {a, b}, {{"spacing", flat}}, ""); }, "numbers > 0");
  Program program(std::move(graph), {y}, {});
  const TensorPtr object = std::make_shared<Tensor>(type), empty = std::make_shared<Tensor>(type);
  const std::atomic<bool> never{false};
  const auto result = [&](int64_t i) {
    return reinterpret_cast<const float*>(program.outputs()[0]->data())[i];
  };
  program.run({{a, empty}, {b, empty}}, never);
  expect(result(7) == -1, "both empty");
  object->data()[7] = std::byte{1};
  program.run({{a, object}, {b, empty}}, never);
  expect(std::isinf(result(7)) && result(6) == -1, "b empty");
}

}  // namespace

}  // namespace sfr::test
