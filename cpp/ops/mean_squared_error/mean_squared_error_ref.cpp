#include "native/op_test.h"
#include "ops/mean_squared_error/mean_squared_error.h"

namespace sfr::test {

namespace {

template <class T>
void mean_squared_error_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.inputs[0].count(); ++i) {
    const T d = c.inputs[0][i] - c.inputs[1][i];
    c.outputs[0][0] += d * d;
  }
  c.outputs[0][0] /= T(c.inputs[0].count());
}

const std::vector<OpCase> cases = {
    {"scalars", {}, {{{}}, {{}}}},
    {"odd", {}, {{{3, 5, 7}}, {{3, 5, 7}}}},
    {"large", {}, {{{2, 20011}}, {{2, 20011}}}},
};

SFR_OP_TEST(mean_squared_error, mean_squared_error_reference, cases);

}  // namespace

}  // namespace sfr::test
