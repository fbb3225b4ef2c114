#include <cmath>

#include "native/op_test.h"
#include "ops/adamw/adamw.h"

namespace sfr::test {

namespace {

template <class T>
void adamw_reference(RefContext<T>& c) {
  const auto& a = c.template as<AdamwAttributes>();
  const T lr = c.inputs[0][0], step = c.inputs[1][0];
  const T correction1 = T(1 - std::pow(a.beta1, static_cast<double>(step))),
          correction2 = T(1 - std::pow(a.beta2, static_cast<double>(step)));
  for (size_t at = 2; at < c.inputs.size(); at += 4)
    for (int64_t i = 0; i < c.inputs[at].count(); ++i) {
      T &p = c.inputs[at][i], &m = c.inputs[at + 2][i], &v = c.inputs[at + 3][i];
      const T g = c.inputs[at + 1][i];
      p *= 1 - lr * T(a.weight_decay);
      m = T(a.beta1) * m + T(1 - a.beta1) * g;
      v = T(a.beta2) * v + T(1 - a.beta2) * g * g;
      p -= lr / correction1 * m / (std::sqrt(v / correction2) + T(a.epsilon));
    }
}

/// lr, step and a parameter, its gradient and its moments per shape; zero moments for the first step.
std::vector<InputSpec> inputs(const std::vector<Shape>& shapes, double step) {
  std::vector<InputSpec> specs = {{{}, DType::f32, Fill::normal, 1, false, false, {0.25}},
                                  {{}, DType::f32, Fill::normal, 1, false, false, {step}}};
  for (const Shape& shape : shapes) {
    specs.push_back({shape, DType::f32, Fill::normal, 1, true});
    specs.push_back({shape});
    specs.push_back({shape, DType::f32, step == 1 ? Fill::zeros : Fill::normal, 1, true});
    specs.push_back({shape, DType::f32, step == 1 ? Fill::zeros : Fill::positive, 1, true});
  }
  return specs;
}

const AttributeMap plain, other = {{"beta1", 0.8}, {"beta2", 0.95}, {"epsilon", 1e-3}, {"weightDecay", 0.1}};

const std::vector<OpCase> cases = {
    {"one", plain, inputs({Shape{}}, 1)},
    {"first_step", plain, inputs({{3, 5, 7}}, 1)},
    {"several", other, inputs({{13}, {1}, {7, 11, 3}, {31}}, 3)},
    {"chunks", plain, inputs({{20011}, {17}, {5}, {3, 10007}}, 1000)},
};

SFR_OP_TEST(adamw, adamw_reference, cases);

}  // namespace

}  // namespace sfr::test
