#include <cmath>
#include <limits>

#include "graph/graph.h"
#include "graph/program.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/surfaces/surfaces.h"

namespace sfr::test {

namespace {

/// Element (z, y, x) and what it is: 1 for a border voxel, a cell's code.
struct Element {
  std::array<int64_t, 3> at;
  int code;
};

/// Whether the voxel is of the class; labels [D, H, W] in any container.
template <class List>
bool is_inside(const List& labels, const Shape& s, int64_t label, int64_t z, int64_t y, int64_t x) {
  return z >= 0 && z < s[0] && y >= 0 && y < s[1] && x >= 0 && x < s[2] &&
         labels[static_cast<size_t>((z * s[1] + y) * s[2] + x)] == label;
}

template <class List>
std::vector<Element> border_voxels(const List& labels, const Shape& s, int64_t label) {
  std::vector<Element> found;
  for (int64_t z = 0; z < s[0]; ++z)
    for (int64_t y = 0; y < s[1]; ++y)
      for (int64_t x = 0; x < s[2]; ++x) {
        const auto inside = [&](int64_t dz, int64_t dy, int64_t dx) {
          return is_inside(labels, s, label, z + dz, y + dy, x + dx);
        };
        if (inside(0, 0, 0) && !(inside(-1, 0, 0) && inside(1, 0, 0) && inside(0, -1, 0) && inside(0, 1, 0) &&
                                 inside(0, 0, -1) && inside(0, 0, 1)))
          found.push_back({{z, y, x}, 1});
      }
  return found;
}

template <class List>
std::vector<Element> surface_cells(const List& labels, const Shape& s, int64_t label) {
  std::vector<Element> found;
  for (int64_t z = 0; z <= s[0]; ++z)
    for (int64_t y = 0; y <= s[1]; ++y)
      for (int64_t x = 0; x <= s[2]; ++x) {
        int code = 0;
        for (int corner = 0; corner < 8; ++corner)
          if (is_inside(labels, s, label, z - 1 + corner / 4, y - 1 + corner / 2 % 2, x - 1 + corner % 2))
            code |= 1 << corner;
        if (code != 0 && code != 255) found.push_back({{z, y, x}, code});
      }
  return found;
}

template <class T>
void class_surfaces_reference(RefContext<T>& c) {
  const auto& labels = c.inputs[0];
  const Shape& s = labels.type.shape;
  for (int64_t label = 1; label <= c.outputs[0].dim(0); ++label) {
    T* y = &c.outputs[0][8 * (label - 1)];
    const auto cells = surface_cells(labels.data, s, label);
    if (cells.empty()) continue;
    for (size_t axis = 0; axis < 3; ++axis) {
      // The first cell has the first voxel as its last one.
      int64_t first = s[static_cast<int>(axis)], last = 0;
      for (const Element& cell : cells) {
        first = std::min(first, cell.at[axis]);
        last = std::max(last, cell.at[axis]);
      }
      y[axis] = T(first);
      y[3 + axis] = T(last - first);
    }
    y[6] = T(border_voxels(labels.data, s, label).size());
    y[7] = T(cells.size());
  }
}

/// Every element against every other one.
template <class T>
void fill_distances(const std::vector<Element>& from, const std::vector<Element>& to,
                    const std::array<double, 3>& spacing, RefTensor<T>& y) {
  for (size_t i = 0; i < from.size(); ++i) {
    T nearest = std::numeric_limits<T>::infinity();
    for (const Element& q : to) {
      T sum = 0;
      for (size_t axis = 0; axis < 3; ++axis) {
        const T step = T(from[i].at[axis] - q.at[axis]) * T(spacing[2 - axis]);
        sum += step * step;
      }
      nearest = std::min(nearest, std::sqrt(sum));
    }
    y[static_cast<int64_t>(i)] = nearest;
  }
}

template <class T>
void surface_distances_reference(RefContext<T>& c) {
  const auto& attributes = c.template as<SurfaceDistancesAttributes>();
  const Shape& s = c.inputs[0].type.shape;
  const auto elements = [&](auto find) {
    return std::array{find(c.inputs[0].data, s, attributes.label),
                      find(c.inputs[1].data, s, attributes.label)};
  };
  const auto borders = elements(&border_voxels<std::vector<T>>),
             cells = elements(&surface_cells<std::vector<T>>);
  for (size_t side = 0; side < 2; ++side) {
    fill_distances(borders[side], borders[1 - side], attributes.spacing, c.outputs[side]);
    fill_distances(cells[side], cells[1 - side], attributes.spacing, c.outputs[2 + side]);
    for (size_t i = 0; i < cells[side].size(); ++i)
      c.outputs[4 + side][static_cast<int64_t>(i)] = T(cells[side][i].code);
  }
}

/// Class 3 in an ellipsoid around (x, y, z).
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

/// Labels without an order, class 3 among them.
InputSpec noise(Shape shape, int factor) {
  InputSpec spec = {shape, DType::u8};
  for (int64_t i = 0; i < shape.count(); ++i) spec.values.push_back(double(i * factor % 101 * i % 5));
  return spec;
}

const std::vector<double> isotropic = {1, 1, 1}, thick = {0.8, 0.7, 2.5};

/// Class 3 of two volumes in the whole of them.
OpCase pair(std::string name, const std::vector<double>& spacing, InputSpec a, InputSpec b) {
  const Shape& s = a.shape;
  const auto number = [](size_t n) { return static_cast<double>(n); };
  const std::vector<double> extents = {double(s[0]), double(s[1]), double(s[2])},
                            counts = {number(border_voxels(a.values, s, 3).size()),
                                      number(border_voxels(b.values, s, 3).size()),
                                      number(surface_cells(a.values, s, 3).size()),
                                      number(surface_cells(b.values, s, 3).size())};
  return {std::move(name),
          {{"label", 3.0}, {"spacing", spacing}, {"extents", extents}, {"counts", counts}},
          {std::move(a), std::move(b)},
          true};  // surfaces that meet are 0 apart
}

/// The same in the smallest box around both.
OpCase in_box(OpCase c, const std::vector<double>& begin, const std::vector<double>& extents) {
  c.attributes["begin"] = begin;
  c.attributes["extents"] = extents;
  return c;
}

const std::vector<OpCase> cases = {
    pair("voxels", isotropic, object({1, 1, 2}, {0, 0, 0}, 0.5), object({1, 1, 2}, {1, 0, 0}, 0.5)),
    pair("noise", thick, noise({7, 11, 13}, 7), noise({7, 11, 13}, 11)),
    pair("spheres", thick, object({19, 31, 29}, {12, 14, 9}, 9), object({19, 31, 29}, {17, 15, 7}, 8)),
    in_box(pair("in_a_box", thick, object({9, 17, 91}, {70, 8, 4}, 5), object({9, 17, 91}, {72, 8, 4}, 6)),
           {0, 2, 65}, {9, 13, 14}),
    pair("apart_at_the_edge", isotropic, object({9, 40, 37}, {0, 3, 2}, 6),
         object({9, 40, 37}, {36, 38, 8}, 4)),
    pair("a_voxel_far_away", thick, object({5, 9, 67}, {1, 4, 2}, 5), object({5, 9, 67}, {66, 0, 4}, 0.5)),
    pair("whole_words", thick, object({5, 6, 128}, {1, 4, 2}, 5), object({5, 6, 128}, {64, 3, 2}, 100)),
};

SFR_OP_TEST(surface_distances, surface_distances_reference, cases);

const std::vector<OpCase> class_cases = {
    {"voxel", {{"classes", 4.0}}, {object({1, 1, 1}, {0, 0, 0}, 0.5)}, true},
    {"noise", {{"classes", 5.0}}, {noise({7, 11, 13}, 7)}},
    {"some_are_of_no_class", {{"classes", 3.0}}, {noise({5, 6, 70}, 3)}},
    {"sphere_at_the_edge", {{"classes", 4.0}}, {object({9, 20, 17}, {0, 9, 4}, 9)}, true},
    {"whole_words", {{"classes", 4.0}}, {object({5, 6, 128}, {64, 3, 2}, 100)}, true},
};

SFR_OP_TEST(class_surfaces, class_surfaces_reference, class_cases);

SFR_TEST("surface_distances: infinite when one is empty; refuses spacing 0, a box beyond, unlike counts") {
  const TensorType type = {DType::u8, {3, 4, 5}};
  Graph graph;
  const ValueId a = graph.add_input("a", type), b = graph.add_input("b", type);
  const auto node = [&](const std::vector<double>& spacing, double depth, double cells) {
    const std::vector<double> extents = {depth, 4, 5}, counts = {1, 0, cells, 0};
    return graph.add_node("surface_distances", {a, b},
                          {{"spacing", spacing}, {"extents", extents}, {"counts", counts}}, "");
  };
  expect_error([&] { node({1, 0, 1}, 3, 8); }, "numbers > 0");
  expect_error([&] { node(isotropic, 4, 8); }, "a box within");
  const ValueId right = node(isotropic, 3, 8)[0], wrong = node(isotropic, 3, 7)[2];
  const TensorPtr object = std::make_shared<Tensor>(type), empty = std::make_shared<Tensor>(type);
  object->data()[7] = std::byte{1};
  const std::atomic<bool> never{false};
  Program refused(Graph(graph), {wrong}, {});
  expect_error([&] { refused.run({{a, object}, {b, empty}}, never); }, "expected 8 for counts[2]");
  Program program(std::move(graph), {right}, {});
  program.run({{a, object}, {b, empty}}, never);
  expect(std::isinf(*reinterpret_cast<const float*>(program.outputs()[0]->data())), "b empty");
}

}  // namespace

}  // namespace sfr::test
