#include <cmath>

#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void log_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) c.outputs[0][i] = std::log(c.inputs[0][i]);
}

template <class T>
void exp_reference(RefContext<T>& c) {
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) c.outputs[0][i] = std::exp(c.inputs[0][i]);
}

/// Halves and doubles of numbers around 1 from 2^-149 (denormal) to 2^127.
std::vector<double> powers() {
  std::vector<double> x;
  for (int e = -149; e < 128; ++e) x.push_back(std::ldexp(e > -100 ? 1.0 + (e & 7) / 16.0 : 1.0, e));
  return x;
}

/// Around 1, where the result is small and an absolute error would show.
std::vector<double> near_one() {
  std::vector<double> x;
  for (int i = -50; i <= 50; ++i) x.push_back(1 + i / 65536.0);
  return x;
}

const std::vector<OpCase> cases = {
    {"one", {}, {{{1}, DType::f32, Fill::positive}}},
    {"odd", {}, {{{3, 5, 7}, DType::f32, Fill::positive}}},
    {"chunks", {}, {{{40009}, DType::f32, Fill::positive}}},
    // Denormals have no derivative in f32.
    {"powers", {}, {{{277}, DType::f32, Fill::normal, 1, false, false, powers(), false}}},
    {"near_one", {}, {{{101}, DType::f32, Fill::normal, 1, false, false, near_one()}}},
};

const std::vector<OpCase> exp_cases = {
    {"one", {}, {{{1}}}},
    {"odd", {}, {{{3, 5, 7}, DType::f32, Fill::normal, 3}}},
    {"chunks", {}, {{{40009}}}},
};

SFR_OP_TEST(exp, exp_reference, exp_cases);
SFR_OP_TEST(log, log_reference, cases);

}  // namespace

}  // namespace sfr::test
