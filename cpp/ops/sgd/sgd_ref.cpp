#include "native/op_test.h"
#include "ops/sgd/sgd.h"

namespace sfr::test {

namespace {

template <class T>
void sgd_reference(RefContext<T>& c) {
  const auto& a = c.template as<SgdAttributes>();
  for (size_t at = 1; at < c.inputs.size(); at += 3)
    for (int64_t i = 0; i < c.inputs[at].count(); ++i) {
      T &p = c.inputs[at][i], &v = c.inputs[at + 2][i];
      v = T(a.momentum) * v + (c.inputs[at + 1][i] + T(a.weight_decay) * p);
      p -= c.inputs[0][0] * v;
    }
}

/// lr and a parameter, its gradient and its momentum per shape.
std::vector<InputSpec> inputs(const std::vector<Shape>& shapes, Fill momentum) {
  std::vector<InputSpec> specs = {{{}, DType::f32, Fill::normal, 1, false, false, {0.3}}};
  for (const Shape& shape : shapes) {
    specs.push_back({shape, DType::f32, Fill::normal, 1, true});
    specs.push_back({shape});
    specs.push_back({shape, DType::f32, momentum, 1, true});
  }
  return specs;
}

const AttributeMap plain, usual = {{"momentum", 0.9}, {"weightDecay", 1e-4}};

const std::vector<OpCase> cases = {
    {"one", plain, inputs({Shape{}}, Fill::zeros)},
    {"first_step", usual, inputs({{3, 5, 7}}, Fill::zeros)},
    {"several", usual, inputs({{13}, {1}, {7, 11, 3}, {31}}, Fill::normal)},
    {"chunks", usual, inputs({{20011}, {17}, {5}, {3, 10007}}, Fill::normal)},
};

SFR_OP_TEST(sgd, sgd_reference, cases);

}  // namespace

}  // namespace sfr::test
