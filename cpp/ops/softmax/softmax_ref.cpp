#include <cmath>

#include "native/op_test.h"
#include "ops/softmax/softmax.h"

namespace sfr::test {

namespace {

template <class T>
void softmax_reference(RefContext<T>& c) {
  const int64_t channels = c.inputs[0].type.shape.back();
  for (int64_t row = 0; row < c.inputs[0].count(); row += channels) {
    T top = c.inputs[0][row], total = 0;
    for (int64_t i = row; i < row + channels; ++i) top = std::max(top, c.inputs[0][i]);
    for (int64_t i = row; i < row + channels; ++i) total += std::exp(c.inputs[0][i] - top);
    for (int64_t i = row; i < row + channels; ++i) c.outputs[0][i] = std::exp(c.inputs[0][i] - top) / total;
  }
}

const std::vector<OpCase> cases = {
    {"one", {}, {{{1}}}},
    {"two", {}, {{{3, 5, 7, 2}}}},
    {"three", {}, {{{61, 3}}}},
    {"fourteen", {}, {{{5, 13, 14}}}},
    {"long_rows", {}, {{{7, 197}}}},
    {"many_rows", {}, {{{20011, 2}}}},
    {"large_values", {}, {{{16, 3}, DType::f32, Fill::normal, 1e4, false, false, {}, false}}, true},
};

SFR_OP_TEST(softmax, softmax_reference, cases);

}  // namespace

}  // namespace sfr::test
