// Memory-bound loops: the compiler vectorises them; one copy per SIMD level.
#include "ops/elementwise/elementwise.h"

namespace sfr::SFR_LEVEL {

namespace {

template <class F>
inline void binary_loop(const float* a, const float* b, int b_stride, float* y, int64_t count, F f) {
  if (b_stride == 0) {
    const float value = b[0];
    for (int64_t i = 0; i < count; ++i) y[i] = f(a[i], value);
  } else {
    for (int64_t i = 0; i < count; ++i) y[i] = f(a[i], b[i]);
  }
}

}  // namespace

void binary_row(BinaryOp op, const float* a, const float* b, int b_stride, float* y, int64_t count) {
  switch (op) {
    case BinaryOp::add:
      return binary_loop(a, b, b_stride, y, count, [](float p, float q) { return p + q; });
    case BinaryOp::subtract:
      return binary_loop(a, b, b_stride, y, count, [](float p, float q) { return p - q; });
    case BinaryOp::multiply:
      return binary_loop(a, b, b_stride, y, count, [](float p, float q) { return p * q; });
    case BinaryOp::divide:
      return binary_loop(a, b, b_stride, y, count, [](float p, float q) { return p / q; });
  }
}

void affine_row(const float* x, float factor, float offset, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = factor * x[i] + offset;
}

double sum_row(const float* x, int64_t count) {
  double sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int lane = 0; lane < 8; ++lane) sums[lane] += static_cast<double>(x[i + lane]);
  for (; i < count; ++i) sums[0] += static_cast<double>(x[i]);
  double total = 0;
  for (int lane = 0; lane < 8; ++lane) total += sums[lane];
  return total;
}

void accumulate_row(const float* x, double* sums, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<double>(x[i]);
}

}  // namespace sfr::SFR_LEVEL
