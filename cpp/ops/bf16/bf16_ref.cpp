#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void round_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) c.outputs[0][i] = rounded_to_bf16(c.inputs[0][i]);
}

template <class T>
void widen_reference(RefContext<T>& c) {
  c.outputs[0].data = c.inputs[0].data;
}

/// Ties to the even neighbour both ways, one fraction bit beside a tie, a carry into the exponent, denormals,
/// numbers near the largest.
const std::vector<double> edges = {1.00390625, 1.01171875, 1.00390637, 1.00390613,  -1.00390625, 1.99999988,
                                   -0.0,       0.0,        1e-40,      -9.1835e-41, 6.5e4,       3.0e38};

const std::vector<OpCase> round_cases = {
    {"edges", {}, {{{12}, DType::f32, Fill::normal, 1, false, false, edges}}},
    {"odd", {}, {{{3, 5, 7}}}},
    {"chunks", {}, {{{40009}}}},
};

const std::vector<OpCase> widen_cases = {
    {"edges", {}, {{{12}, DType::bf16, Fill::normal, 1, false, false, edges}}},
    {"odd", {}, {{{3, 5, 7}, DType::bf16}}},
    {"chunks", {}, {{{40009}, DType::bf16}}},
};

SFR_OP_TEST(round_bf16, round_reference, round_cases);
SFR_OP_TEST(widen_bf16, widen_reference, widen_cases);

}  // namespace

}  // namespace sfr::test
