#include "ops/activation/activation.h"

#include "math/element_loops.h"

namespace sfr::SFR_LEVEL {

namespace {

/// The lower tail of the normal distribution: Phi(-|x|) = exp(-x^2 / 2) erfcx(z) / 2 with z = |x| / sqrt(2).
/// erfcx(z) is a polynomial of degree 9 in t = 1 / (1 + 0.45 z) without constant term, fitted by least
/// squares (reweighted towards minimax) to absolute error 2e-9 of the tail; rounding in f32 leaves below
/// 1e-7, so erf = 1 - 2 tail is within 2e-7. `gauss` returns exp(-x^2 / 2), which the derivative needs again.
inline vf normal_tail(vf x, vf* gauss) {
  const vf t = broadcast(1.0f) / (vabs(x) * 0.318198052f + 1.0f);
  vf p = t * -0.03998165f + 0.2533677f;
  p = p * t - 0.60565411f;
  p = p * t + 0.59852199f;
  p = p * t - 0.20451354f;
  p = p * t + 0.2799691f;
  p = p * t + 0.20878794f;
  p = p * t + 0.25567433f;
  p = p * t + 0.25382823f;
  *gauss = vexp(x * x * -0.5f);
  return *gauss * t * p * 0.5f;
}

inline vf normal_distribution(vf x, vf* gauss) {
  const vf tail = normal_tail(x, gauss);
  return x > 0 ? 1.0f - tail : tail;
}

/// Below 0.65 x (1 + z P(z)) with z = x^2, where 1 - 2 / (e^2x + 1) would lose digits; P is our own
/// least-squares fit (reweighted towards minimax), off by 7e-9 of tanh(x) at most.
inline vf hyperbolic_tangent(vf x) {
  const vf z = x * x, a = vabs(x);
  vf p = z * -5.5286214e-03f + 2.0483304e-02f;
  p = p * z - 5.3692963e-02f;
  p = p * z + 1.3330899e-01f;
  p = p * z - 3.3333263e-01f;
  const vf far = 1.0f - 2.0f / (vexp(a * 2.0f) + 1.0f);
  return a < 0.65f ? x + x * (z * p) : (x < 0 ? -far : far);
}

}  // namespace

void relu_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) { return v < 0 ? zero() : v; });
}

void relu_backward_row(const float* dy, const float* y, float* dx, int64_t count) {
  binary_loop(dy, y, dx, count, [](vf g, vf v) { return v > 0 ? g : zero(); });
}

void sigmoid_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) { return 1.0f / (vexp(-v) + 1.0f); });
}

void tanh_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) { return hyperbolic_tangent(v); });
}

void gelu_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) {
    vf gauss;
    return v * normal_distribution(v, &gauss);
  });
}

void gelu_backward_row(const float* dy, const float* x, float* dx, int64_t count) {
  binary_loop(dy, x, dx, count, [](vf g, vf v) {
    vf gauss;
    const vf distribution = normal_distribution(v, &gauss);
    return g * (v * gauss * 0.398942280f + distribution);
  });
}

}  // namespace sfr::SFR_LEVEL
