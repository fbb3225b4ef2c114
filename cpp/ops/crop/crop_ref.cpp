#include "graph/graph.h"
#include "graph/program.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/crop/crop.h"

namespace sfr::test {

namespace {

/// A plane [rows][cols] with numpy's operations, one at a time as in its source.
template <class T>
struct Plane {
  int64_t rows, cols;
  std::vector<T> data;
  T at(int64_t r, int64_t c) const { return data[static_cast<size_t>(r * cols + c)]; }
};

template <class T>
Plane<T> transposed(const Plane<T>& p) {
  Plane<T> out = {p.cols, p.rows, {}};
  for (int64_t r = 0; r < out.rows; ++r)
    for (int64_t c = 0; c < out.cols; ++c) out.data.push_back(p.at(c, r));
  return out;
}

template <class T>
Plane<T> flipped(const Plane<T>& p, int axis) {
  Plane<T> out = {p.rows, p.cols, {}};
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t c = 0; c < p.cols; ++c)
      out.data.push_back(p.at(axis == 0 ? p.rows - 1 - r : r, axis == 1 ? p.cols - 1 - c : c));
  return out;
}

/// A quarter turn of np.rot90 is: flip axis 1, then transpose.
template <class T>
Plane<T> turned_and_flipped(Plane<T> p, int64_t k, int64_t flip) {
  for (int64_t turn = 0; turn < ((k % 4) + 4) % 4; ++turn) p = transposed(flipped(p, 1));
  return flip == 0 ? p : flipped(p, static_cast<int>(flip - 1));
}

template <class T>
void crop_reference(RefContext<T>& c) {
  const auto &x = c.inputs[0], &p = c.inputs[1];
  auto& y = c.outputs[0];
  for (int64_t z = 0; z < y.dim(0); ++z) {
    const int64_t source_z = z + static_cast<int64_t>(p[2]);
    if (source_z < 0 || source_z >= x.dim(0)) continue;
    Plane<T> slice = {x.dim(2), x.dim(1), {}};  // axis 0 is x, as in the authors' arrays
    for (int64_t i = 0; i < x.dim(2); ++i)
      for (int64_t j = 0; j < x.dim(1); ++j)
        slice.data.push_back(x[(source_z * x.dim(1) + j) * x.dim(2) + i]);
    slice = turned_and_flipped(std::move(slice), static_cast<int64_t>(p[3]), static_cast<int64_t>(p[4]));
    for (int64_t j = 0; j < y.dim(1); ++j)
      for (int64_t i = 0; i < y.dim(2); ++i) {
        const int64_t sx = i + static_cast<int64_t>(p[0]), sy = j + static_cast<int64_t>(p[1]);
        if (sx >= 0 && sx < slice.rows && sy >= 0 && sy < slice.cols)
          y[(z * y.dim(1) + j) * y.dim(2) + i] = slice.at(sx, sy);
      }
  }
}

template <class T>
void rot_flip_reference(RefContext<T>& c) {
  const auto &x = c.inputs[0], &p = c.inputs[1];
  const int64_t side = x.dim(1);
  for (int64_t n = 0; n < x.dim(0); ++n) {
    const auto begin = x.data.begin() + n * side * side;
    const Plane<T> out =
        turned_and_flipped(Plane<T>{side, side, {begin, begin + side * side}}, static_cast<int64_t>(p[2 * n]),
                           static_cast<int64_t>(p[2 * n + 1]));
    for (int64_t i = 0; i < side * side; ++i)
      c.outputs[0][n * side * side + i] = out.data[static_cast<size_t>(i)];
  }
}

InputSpec numbers(Shape shape, std::vector<double> values) {
  InputSpec spec = {shape, DType::i32};
  spec.values = std::move(values);
  return spec;
}

OpCase crop_case(std::string name, InputSpec x, std::vector<double> size, std::vector<double> parameters) {
  return {std::move(name), {{"size", size}}, {std::move(x), numbers({5}, std::move(parameters))}};
}

/// All rotations and flips of a small volume, inside it and reaching over each side; then sizes 1 and larger.
std::vector<OpCase> crop_cases() {
  std::vector<OpCase> cases;
  for (int k = 0; k < 4; ++k)
    for (int flip = 0; flip < 3; ++flip) {
      const std::string name = "k" + std::to_string(k) + "_flip" + std::to_string(flip);
      const std::vector<double> within = {2, 1, 1, double(k), double(flip)};
      const std::vector<double> over = {double(flip) - 3, double(k) - 2, -2, double(k), double(flip)};
      cases.push_back(crop_case(name, {{5, 11, 13}}, {3, 7, 8}, within));
      cases.push_back(
          crop_case(name + "_padded_u8", {{5, 11, 13}, DType::u8, Fill::indices, 256}, {8, 16, 17}, over));
    }
  cases.push_back(crop_case("one", {{1, 1, 1}}, {1, 1, 1}, {0, 0, 0, -1, 1}));
  cases.push_back(crop_case("large", {{40, 50, 70}}, {32, 48, 48}, {-1, 5, 3, 7, 2}));
  OpCase outside = crop_case("outside", {{5, 11, 13}}, {2, 3, 4}, {100, -50, 2, 1, 1});
  outside.sparse = true;  // nothing of the volume is left
  cases.push_back(outside);
  return cases;
}

const std::vector<double> all_turns = {0, 0, 0, 1, 0, 2, 1, 0, 1, 1, 1, 2,
                                       2, 0, 2, 1, 2, 2, 3, 0, 3, 1, 3, 2};
const std::vector<OpCase> rot_flip_cases = {
    {"one", {}, {{{1, 1, 1}}, numbers({1, 2}, {3, 2})}},
    {"all", {}, {{{12, 37, 37}}, numbers({12, 2}, all_turns)}},
    {"all_u8", {}, {{{12, 67, 67}, DType::u8, Fill::indices, 256}, numbers({12, 2}, all_turns)}},
};

SFR_OP_TEST(crop_rot_flip, crop_reference, crop_cases());
SFR_OP_TEST(rot_flip_canvas, rot_flip_reference, rot_flip_cases);

SFR_TEST("crop: an unknown flip is an error, not a read beyond the volume") {
  Graph graph;
  const TensorType x_type = {DType::f32, {2, 3, 4}}, p_type = {DType::i32, {5}};
  const ValueId x = graph.add_input("x", x_type), p = graph.add_input("p", p_type);
  const std::vector<double> size = {1, 1, 1};
  const ValueId y = graph.add_node("crop_rot_flip", {x, p}, {{"size", size}}, "")[0];
  Program program(std::move(graph), {y}, {});
  const auto parameters = std::make_shared<Tensor>(p_type);
  reinterpret_cast<int32_t*>(parameters->data())[4] = 3;
  const std::atomic<bool> never{false};
  expect_error(
      [&] {
        program.run({{x, std::make_shared<Tensor>(x_type)}, {p, parameters}}, never);
      },
      "expected 0, 1 or 2 for flip, received 3");
}

}  // namespace

}  // namespace sfr::test
