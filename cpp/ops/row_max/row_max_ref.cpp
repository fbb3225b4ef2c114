#include <algorithm>

#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void row_max_reference(RefContext<T>& c) {
  const int64_t length = c.inputs[0].type.shape.back();
  for (int64_t i = 0; i < c.inputs[0].count(); ++i) {
    T& y = c.outputs[0][i / length];
    y = i % length == 0 ? c.inputs[0][i] : std::max(y, c.inputs[0][i]);
  }
}

const std::vector<OpCase> cases = {
    {"one", {}, {{{1}}}},
    {"negative", {}, {{{2, 3}, DType::f32, Fill::normal, 1, false, false, {-3, -1, -2, -6, -5, -4}}}},
    {"odd", {}, {{{3, 5, 7}}}},
    {"chunks", {}, {{{3, 40009}}}},
};

SFR_OP_TEST(row_max, row_max_reference, cases);

}  // namespace

}  // namespace sfr::test
