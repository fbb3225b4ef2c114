// A vector at a time; each is read before it is written, so in-place is safe.
#include "ops/log/log.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

template <class F>
inline void unary_loop(const float* x, float* y, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, f(load(x + i)));
  const int rest = static_cast<int>(count - i);
  if (rest > 0) store_partial(y + i, f(load_partial(x + i, rest)), rest);
}

}  // namespace

void exp_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) { return vexp(v); });
}

void log_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) { return vlog(v); });
}

}  // namespace sfr::SFR_LEVEL
