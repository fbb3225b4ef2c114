#include <cmath>

#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void standardize_reference(RefContext<T>& c) {
  const auto& x = c.inputs[0];
  T mean = 0, squares = 0;
  for (const T v : x.data) mean += v;
  mean /= static_cast<T>(x.count());
  for (const T v : x.data) squares += (v - mean) * (v - mean);
  const T std = std::sqrt(squares / static_cast<T>(x.count()));
  for (int64_t i = 0; i < x.count(); ++i) c.outputs[0][i] = std > 0 ? (x[i] - mean) / std : 0;
}

/// A constant, 0.5: exact in every sum, so that its deviation is 0 in the float loop too.
OpCase constant(Shape shape) {
  InputSpec spec = {shape};
  spec.values.assign(static_cast<size_t>(shape.count()), 0.5);
  OpCase c = {"constant", {}, {spec}};
  c.sparse = true;  // the result is zeros
  return c;
}

const std::vector<OpCase> cases = {
    {"two", {}, {{{2}}}},
    {"odd", {}, {{{3, 5, 7}}}},
    {"far_from_zero", {}, {{{5, 13, 17}, DType::f32, Fill::positive, 100}}},
    {"large", {}, {{{20, 46, 58}}}},
    constant({5, 7, 11}),
};

SFR_OP_TEST(standardize, standardize_reference, cases);

}  // namespace

}  // namespace sfr::test
