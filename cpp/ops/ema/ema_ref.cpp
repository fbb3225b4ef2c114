#include "native/op_test.h"
#include "ops/ema/ema.h"

namespace sfr::test {

namespace {

template <class T>
void ema_reference(RefContext<T>& c) {
  for (size_t at = 1; at < c.inputs.size(); at += 2)
    for (int64_t i = 0; i < c.inputs[at].count(); ++i)
      c.inputs[at][i] = c.inputs[0][0] * c.inputs[at][i] + (1 - c.inputs[0][0]) * c.inputs[at + 1][i];
}

std::vector<InputSpec> inputs(const std::vector<Shape>& shapes, double alpha) {
  std::vector<InputSpec> specs = {{{}, DType::f32, Fill::normal, 1, false, false, {alpha}}};
  for (const Shape& shape : shapes) {
    specs.push_back({shape, DType::f32, Fill::normal, 1, true});
    specs.push_back({shape});
  }
  return specs;
}

const std::vector<OpCase> cases = {
    {"one", {}, inputs({Shape{}}, 0.5)},
    {"copy", {}, inputs({{3, 5, 7}}, 0)},
    {"several", {}, inputs({{13}, {1}, {7, 11, 3}, {31}}, 0.9375)},
    {"chunks", {}, inputs({{20011}, {17}, {5}, {3, 10007}}, 0.75)},
};

SFR_OP_TEST(ema, ema_reference, cases);

}  // namespace

}  // namespace sfr::test
