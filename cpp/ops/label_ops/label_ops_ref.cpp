#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void one_hot_reference(RefContext<T>& c) {
  const int64_t classes = c.outputs[0].type.shape.back();
  for (int64_t i = 0; i < c.outputs[0].count(); ++i)
    c.outputs[0][i] = c.inputs[0][i / classes] == T(i % classes) ? T(1) : T(0);
}

template <class T>
void select_labels_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) {
    const T other = c.has(1) ? c.inputs[1][i] : T(255);
    c.outputs[0][i] = c.inputs[2][i % c.inputs[2].count()] == 0 ? other : c.inputs[0][i];
  }
}

InputSpec labels(const Shape& shape, double classes) {
  return {shape, DType::u8, Fill::labels, classes};
}

InputSpec mask(const Shape& shape) {
  return {shape, DType::f32, Fill::indices, 2};
}

const std::vector<OpCase> one_hot_cases = {
    {"two", {{"classes", 2.0}}, {labels({3, 5, 7}, 2)}},
    {"ignored", {{"classes", 3.0}}, {{{4}, DType::u8, Fill::labels, 1, false, false, {0, 255, 2, 1}}}},
    {"fourteen", {{"classes", 14.0}}, {labels({131}, 14)}, true},  // one in fourteen is not zero
    {"chunks", {{"classes", 3.0}}, {labels({2, 20011}, 3)}},
};
const std::vector<OpCase> select_cases = {
    {"both", {}, {labels({3, 5, 7}, 3), labels({3, 5, 7}, 3), mask({3, 5, 7})}},
    {"repeated_mask", {}, {labels({3, 5, 7}, 3), labels({3, 5, 7}, 3), mask({5, 7})}},
    {"ignored", {}, {labels({3, 5, 7}, 3), {{3, 5, 7}, DType::u8, Fill::zeros, 1, false, true}, mask({7})}},
    {"chunks", {}, {labels({2, 20011}, 3), labels({2, 20011}, 3), mask({20011})}},
};

SFR_OP_TEST(one_hot, one_hot_reference, one_hot_cases);
SFR_OP_TEST(select_labels, select_labels_reference, select_cases);

}  // namespace

}  // namespace sfr::test
