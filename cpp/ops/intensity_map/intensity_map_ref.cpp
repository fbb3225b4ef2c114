#include <algorithm>
#include <cmath>

#include "native/op_test.h"
#include "ops/intensity_map/intensity_map.h"

namespace sfr::test {

namespace {

/// Samples of one coordinate of the curve, sorted: numpy's linspace, Bernstein sum and sort.
std::vector<double> sorted_samples(double p1, double p2) {
  std::vector<double> table;
  for (int64_t i = 0; i < kBezierSamples; ++i) {
    const double t = static_cast<double>(i) / (kBezierSamples - 1);
    table.push_back(3 * std::pow(1 - t, 2) * t * p1 + 3 * (1 - t) * std::pow(t, 2) * p2 + std::pow(t, 3));
  }
  std::sort(table.begin(), table.end());
  return table;
}

/// The op's contract puts the tables in double, so the float yardstick rounds only its in- and outputs.
template <class T>
void intensity_map_reference(RefContext<T>& c) {
  const auto &x = c.inputs[0], &points = c.inputs[1], &apply = c.inputs[2];
  const int64_t pixels = x.dim(1) * x.dim(2);
  for (int64_t z = 0; z < x.dim(0); ++z) {
    std::vector<double> xs, ys;
    if (apply[z] != 0) {
      xs = sorted_samples(points[4 * z], points[4 * z + 2]);
      ys = sorted_samples(points[4 * z + 1], points[4 * z + 3]);
    }
    for (int64_t i = z * pixels; i < (z + 1) * pixels; ++i) {
      c.outputs[0][i] = x[i];
      if (apply[z] == 0) continue;
      size_t k = 0;
      while (k < xs.size() && xs[k] <= x[i]) k += k + 1000 < xs.size() && xs[k + 1000] <= x[i] ? 1000 : 1;
      if (k == 0 || k == xs.size())
        c.outputs[0][i] = static_cast<T>(k == 0 ? ys.front() : ys.back());
      else
        c.outputs[0][i] =
            static_cast<T>(ys[k - 1] + (ys[k] - ys[k - 1]) / (xs[k] - xs[k - 1]) * (x[i] - xs[k - 1]));
    }
  }
}

InputSpec given(Shape shape, DType dtype, std::vector<double> values) {
  InputSpec spec = {shape, dtype};
  for (const double v : values) spec.values.push_back(dtype == DType::f32 ? static_cast<float>(v) : v);
  return spec;
}

// Curves that bend little and much, run straight, and bend in y only; the fourth slice is only copied.
const std::vector<double> curves = {0.62, 0.74, 0.79, 0.94, 0.94, 0.65, 0.03, 0.11, 0,      0, 1,      1,
                                    0.5,  0.5,  0.5,  0.5,  0.2,  0.9,  0.7,  0.1,  1. / 3, 1, 2. / 3, 0};
const std::vector<OpCase> cases = {
    {"one",
     {},
     {given({1, 1, 1}, DType::f32, {0.3}), given({1, 4}, DType::f32, {1, 0, 0, 1}),
      given({1}, DType::i32, {1})}},
    {"curves",
     {},
     {{{6, 5, 13}}, given({6, 4}, DType::f32, curves), given({6}, DType::i32, {1, 1, 1, 0, 1, 1})}},
    {"flat_ends_and_middle",  // x or y stands still at an end or in the middle
     {},
     {{{4, 7, 11}, DType::f32, Fill::uniform},
      given({4, 4}, DType::f32, {0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0.5, 1, 0.5}),
      given({4}, DType::i32, {1, 1, 1, 1})}},
    {"inside",
     {},
     {{{6, 7, 11}, DType::f32, Fill::uniform},
      given({6, 4}, DType::f32, curves),
      given({6}, DType::i32, {1, 1, 1, 0, 1, 1})}},
};

SFR_OP_TEST(intensity_map, intensity_map_reference, cases);

}  // namespace

}  // namespace sfr::test
