#include <algorithm>
#include <cmath>

#include "native/op_test.h"
#include "ops/resize_bilinear/resize_bilinear.h"

namespace sfr::test {

namespace {

/// Weight with which output `i` of `outputs` reads input `j` of `inputs`: a tent of width 1 around the
/// clamped centre.
double tent(int64_t i, int64_t outputs, int64_t j, int64_t inputs) {
  const double centre =
      (static_cast<double>(i) + 0.5) * static_cast<double>(inputs) / static_cast<double>(outputs) - 0.5;
  const double at = std::clamp(centre, 0.0, static_cast<double>(inputs - 1));
  return std::max(0.0, 1 - std::abs(at - static_cast<double>(j)));
}

template <class T>
void resize_bilinear_reference(RefContext<T>& c) {
  const Shape &x = c.inputs[0].type.shape, &y = c.outputs[0].type.shape;
  for (int64_t n = 0, o = 0; n < y[0]; ++n)
    for (int64_t i = 0; i < y[1]; ++i)
      for (int64_t j = 0; j < y[2]; ++j)
        for (int64_t ch = 0; ch < y[3]; ++ch, ++o)
          for (int64_t row = 0; row < x[1]; ++row) {
            const T vertical = T(tent(i, y[1], row, x[1]));
            for (int64_t column = 0; vertical > 0 && column < x[2]; ++column)
              c.outputs[0][o] += vertical * T(tent(j, y[2], column, x[2])) *
                                 c.inputs[0][((n * x[1] + row) * x[2] + column) * x[3] + ch];
          }
}

std::vector<double> size(double rows, double columns) {
  return {rows, columns};
}

const std::vector<OpCase> cases = {
    {"one", {{"size", size(1, 1)}}, {{{1, 1, 1, 1}}}},
    {"one_to_many", {{"size", size(3, 5)}}, {{{1, 1, 1, 2}}}},
    {"double", {{"size", size(8, 10)}}, {{{2, 4, 5, 2}}}},
    {"four_times", {{"size", size(20, 24)}}, {{{1, 5, 6, 3}}}},
    {"smaller", {{"size", size(3, 4)}}, {{{2, 11, 7, 1}}}},
    {"odd", {{"size", size(13, 5)}}, {{{2, 7, 8, 5}}}},
    {"rows_alone", {{"size", size(8, 6)}}, {{{2, 4, 6, 16}}}},
    {"same", {{"size", size(4, 3)}}, {{{1, 4, 3, 17}}}},
    {"to_one", {{"size", size(1, 1)}}, {{{1, 4, 7, 2}}}},
    // a position embedding of 8 x 8 tokens for a 5 x 5 grid
    {"embedding", {{"size", size(5, 5)}}, {{{1, 8, 8, 24}}}},
};

SFR_OP_TEST(resize_bilinear, resize_bilinear_reference, cases);

}  // namespace

}  // namespace sfr::test
