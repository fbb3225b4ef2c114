#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void dot_rows_reference(RefContext<T>& c) {
  const int64_t channels = c.inputs[0].type.shape.back();
  for (int64_t i = 0; i < c.inputs[0].count(); ++i)
    c.outputs[0][i / channels] += c.inputs[0][i] * c.inputs[1][i];
}

template <class T>
void scale_rows_reference(RefContext<T>& c) {
  const int64_t channels = c.inputs[0].type.shape.back();
  for (int64_t i = 0; i < c.outputs[0].count(); ++i)
    c.outputs[0][i] = c.inputs[0][i] * c.inputs[1][i / channels];
}

const std::vector<OpCase> dot_cases = {
    {"one", {}, {{{1}}, {{1}}}},
    {"two", {}, {{{3, 5, 7, 2}}, {{3, 5, 7, 2}}}},
    {"fourteen", {}, {{{5, 13, 14}}, {{5, 13, 14}}}},
    {"chunks", {}, {{{20011, 3}}, {{20011, 3}}}},
};
const std::vector<OpCase> scale_cases = {
    {"one", {}, {{{1}}, {{}}}},
    {"two", {}, {{{3, 5, 7, 2}}, {{3, 5, 7}}}},
    {"fourteen", {}, {{{5, 13, 14}}, {{5, 13}}}},
    {"chunks", {}, {{{20011, 3}}, {{20011}}}},
};

SFR_OP_TEST(dot_rows, dot_rows_reference, dot_cases);
SFR_OP_TEST(scale_rows, scale_rows_reference, scale_cases);

}  // namespace

}  // namespace sfr::test
