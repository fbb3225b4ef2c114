#include <cmath>

#include "native/op_test.h"
#include "ops/activation/activation.h"

namespace sfr::test {

namespace {

template <class T>
void relu_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i)
    c.outputs[0][i] = c.inputs[0][i] > 0 ? c.inputs[0][i] : T(0);
}

template <class T>
void gelu_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) {
    const T x = c.inputs[0][i];
    c.outputs[0][i] = x * (T(1) + std::erf(x * T(0.70710678118654752))) / 2;
  }
}

template <class T>
void sigmoid_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i)
    c.outputs[0][i] = T(1) / (T(1) + std::exp(-c.inputs[0][i]));
}

template <class T>
void tanh_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) c.outputs[0][i] = std::tanh(c.inputs[0][i]);
}

/// -12 .. 12 in steps of 1/64: every branch of the tail, and where it is 0 in f32.
std::vector<double> ladder() {
  std::vector<double> x;
  for (int i = -768; i <= 768; ++i) x.push_back(i / 64.0);
  return x;
}

const std::vector<OpCase> cases = {
    {"one", {}, {{{1}, DType::f32, Fill::ones}}},
    {"odd", {}, {{{3, 5, 7}}}},
    {"prime", {}, {{{131}}}},
    {"ladder", {}, {{{1537}, DType::f32, Fill::normal, 1, false, false, ladder()}}},
    {"chunks", {}, {{{40009}, DType::f32, Fill::normal, 2}}},
};

/// The ladder holds 0, where relu has no derivative to compare with.
std::vector<OpCase> relu_cases() {
  std::vector<OpCase> own = cases;
  own[3].inputs[0].differentiate = false;
  return own;
}

/// The negative half alone as well: |y| < 0.17 there, so the bound is that of the error function itself.
std::vector<OpCase> gelu_cases() {
  std::vector<double> negative = ladder();
  negative.resize(768);
  std::vector<OpCase> own = cases;
  own.push_back({"negative", {}, {{{768}, DType::f32, Fill::normal, 1, false, false, negative}}});
  return own;
}

/// Where the sigmoid of DTC's signed distances is 0 or 1 in f32, and its exponential infinite.
std::vector<OpCase> sigmoid_cases() {
  std::vector<OpCase> own = cases;
  own.push_back(
      {"far", {}, {{{4}, DType::f32, Fill::normal, 1, false, false, {-1500, -88.5, 89.5, 1500}}}, true});
  return own;
}

/// Near 0 alone as well, where the result is small and an absolute error would show.
std::vector<OpCase> tanh_cases() {
  std::vector<OpCase> own = cases;
  own.push_back({"small", {}, {{{257}, DType::f32, Fill::normal, 0.01}}});
  return own;
}

SFR_OP_TEST(sigmoid, sigmoid_reference, sigmoid_cases());
SFR_OP_TEST(tanh, tanh_reference, tanh_cases());
SFR_OP_TEST(relu, relu_reference, relu_cases());
SFR_OP_TEST(gelu, gelu_reference, gelu_cases());

}  // namespace

}  // namespace sfr::test
