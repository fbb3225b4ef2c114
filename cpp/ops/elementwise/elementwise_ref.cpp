#include "native/op_test.h"
#include "ops/elementwise/elementwise.h"

namespace sfr::test {

namespace {

template <class T, class F>
void binary_reference(RefContext<T>& c, F f) {
  const int64_t inner = c.inputs[1].count();
  for (int64_t i = 0; i < c.outputs[0].count(); ++i)
    c.outputs[0][i] = f(c.inputs[0][i], c.inputs[1][i % inner]);
}

template <class T>
void add_reference(RefContext<T>& c) {
  binary_reference(c, [](T a, T b) { return a + b; });
}
template <class T>
void subtract_reference(RefContext<T>& c) {
  binary_reference(c, [](T a, T b) { return a - b; });
}
template <class T>
void multiply_reference(RefContext<T>& c) {
  binary_reference(c, [](T a, T b) { return a * b; });
}

template <class T>
void divide_reference(RefContext<T>& c) {
  binary_reference(c, [](T a, T b) { return a / b; });
}

template <class T>
void affine_reference(RefContext<T>& c) {
  const auto& a = c.template as<AffineAttributes>();
  for (int64_t i = 0; i < c.outputs[0].count(); ++i)
    c.outputs[0][i] = T(a.factor) * c.inputs[0][i] + T(a.offset);
}

template <class T>
void sum_reference(RefContext<T>& c) {
  const int64_t inner = c.outputs[0].count();
  for (int64_t i = 0; i < c.inputs[0].count(); ++i) c.outputs[0][i % inner] += c.inputs[0][i];
}

template <class T>
void broadcast_to_reference(RefContext<T>& c) {
  const int64_t inner = c.inputs[0].count();
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) c.outputs[0][i] = c.inputs[0][i % inner];
}

template <class T>
void stop_gradient_reference(RefContext<T>& c) {
  c.outputs[0].data = c.inputs[0].data;
}

const std::vector<OpCase> binary_cases = {
    {"scalars", {}, {{{}}, {{}}}},
    {"same_shape", {}, {{{3, 5, 7}}, {{3, 5, 7}}}},
    {"scalar_b", {}, {{{2, 3, 11}}, {{}}}},
    {"suffix_b", {}, {{{4, 3, 13}}, {{13}}}},
    {"large", {}, {{{2, 20011}}, {{20011}}}},
};
const std::vector<OpCase> divide_cases = {
    {"scalars", {}, {{{}}, {{}, DType::f32, Fill::positive}}},
    {"same_shape", {}, {{{3, 5, 7}}, {{3, 5, 7}, DType::f32, Fill::positive}}},
    {"scalar_b", {}, {{{2, 3, 11}}, {{}, DType::f32, Fill::positive}}},
    {"suffix_b", {}, {{{4, 3, 13}}, {{13}, DType::f32, Fill::positive}}},
    {"large", {}, {{{2, 20011}}, {{20011}, DType::f32, Fill::positive}}},
};
const std::vector<OpCase> affine_cases = {{"odd", {{"factor", -0.3}, {"offset", 1.5}}, {{{7, 13}}}},
                                          {"large", {{"factor", 2.5}}, {{{40009}}}}};
const std::vector<OpCase> sum_cases = {{"volume", {}, {{{2, 3, 5, 7}}}},
                                       {"one", {}, {{{1}}}},
                                       {"prime", {}, {{{131}}}},
                                       {"large", {}, {{{5, 40009}}}}};
const std::vector<double> to_13 = {13}, to_3_13 = {3, 13}, to_4_3_13 = {4, 3, 13}, to_40009 = {40009};
const std::vector<OpCase> sum_to_cases = {{"columns", {{"shape", to_13}}, {{{4, 3, 13}}}},
                                          {"same", {{"shape", to_3_13}}, {{{3, 13}}}},
                                          {"many_rows", {{"shape", to_13}}, {{{5003, 13}}}}};
const std::vector<OpCase> broadcast_cases = {{"rows", {{"shape", to_4_3_13}}, {{{13}}}},
                                             {"scalar", {{"shape", to_40009}}, {{{}}}}};
const std::vector<OpCase> stop_cases = {{"copy", {}, {{{3, 5}}}}};

SFR_OP_TEST(add, add_reference, binary_cases);
SFR_OP_TEST(subtract, subtract_reference, binary_cases);
SFR_OP_TEST(multiply, multiply_reference, binary_cases);
SFR_OP_TEST(divide, divide_reference, divide_cases);
SFR_OP_TEST(affine, affine_reference, affine_cases);
SFR_OP_TEST(sum, sum_reference, sum_cases);
SFR_OP_TEST(sum_to, sum_reference, sum_to_cases);
SFR_OP_TEST(broadcast_to, broadcast_to_reference, broadcast_cases);
SFR_OP_TEST(stop_gradient, stop_gradient_reference, stop_cases);

}  // namespace

}  // namespace sfr::test
