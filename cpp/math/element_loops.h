// Loops of functions that work element by element, a vector at a time; each vector is read before it is
// written, so in-place is safe.
#pragma once

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

/// y[i] = f(x[i])
template <class F>
SFR_INLINE void unary_loop(const float* x, float* y, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, f(load(x + i)));
  const int rest = static_cast<int>(count - i);
  if (rest > 0) store_partial(y + i, f(load_partial(x + i, rest)), rest);
}

/// y[i] = f(a[i], b[i])
template <class F>
SFR_INLINE void binary_loop(const float* a, const float* b, float* y, int64_t count, F f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, f(load(a + i), load(b + i)));
  const int rest = static_cast<int>(count - i);
  if (rest > 0) store_partial(y + i, f(load_partial(a + i, rest), load_partial(b + i, rest)), rest);
}

}  // namespace sfr::SFR_LEVEL
