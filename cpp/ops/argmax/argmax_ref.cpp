#include "native/op_test.h"
#include "ops/argmax/argmax.h"

namespace sfr::test {

namespace {

template <class T>
void argmax_reference(RefContext<T>& c) {
  const int64_t classes = c.inputs[0].type.shape.back();
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) {
    int64_t best = 0;
    for (int64_t k = 1; k < classes; ++k)
      if (c.inputs[0][i * classes + k] > c.inputs[0][i * classes + best]) best = k;
    c.outputs[0][i] = T(best);
  }
}

const std::vector<OpCase> cases = {
    {"one_class", {}, {{{5, 1}}}, true},
    {"vector", {}, {{{3}, DType::f32, Fill::normal, 1, false, false, {0, 2, 1}}}},
    {"two", {}, {{{3, 5, 7, 2}}}},
    {"ties", {}, {{{97, 3}, DType::f32, Fill::indices, 2}}},
    {"fourteen", {}, {{{131, 14}}}},
    {"many_classes", {}, {{{17, 255}}}},
};

SFR_OP_TEST(argmax, argmax_reference, cases);

}  // namespace

}  // namespace sfr::test
