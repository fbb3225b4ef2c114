#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void at_least_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i)
    c.outputs[0][i] = c.inputs[0][i] >= c.inputs[1][0] ? T(1) : T(0);
}

const InputSpec threshold = {{}, DType::f32, Fill::normal, 1, false, false, {0.25}};

const std::vector<OpCase> cases = {
    {"equal", {}, {{{3}, DType::f32, Fill::normal, 1, false, false, {0.25, 0.125, 0.5}}, threshold}},
    {"odd", {}, {{{3, 5, 7}}, threshold}},
    {"chunks", {}, {{{40009}}, threshold}},
};

SFR_OP_TEST(at_least, at_least_reference, cases);

}  // namespace

}  // namespace sfr::test
