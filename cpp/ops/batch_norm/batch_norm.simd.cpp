// Memory-bound: one read of x (forward, twice from the cache for statistics) or of x and dy (backward) per
// pass. Partial sums stay in f32 for at most a block of a few thousand floats; the caller adds blocks in
// double.
#include "ops/batch_norm/batch_norm.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

/// Calls f(i, j, n): n <= kLanes floats at position i of the long row, j = i modulo width.
template <class F>
inline void over_table(int64_t count, int64_t width, F f) {
  for (int64_t start = 0; start < count; start += width) {
    const int64_t length = count - start < width ? count - start : width;
    int64_t j = 0;
    for (; j + kLanes <= length; j += kLanes) f(start + j, j, kLanes);
    if (j < length) f(start + j, j, static_cast<int>(length - j));
  }
}

inline vf get(const float* p, int n) {
  return n == kLanes ? load(p) : load_partial(p, n);
}
inline void put(float* p, vf v, int n) {
  if (n == kLanes)
    store(p, v);
  else
    store_partial(p, v, n);
}

inline void clear(float* p, int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = 0;
}

// The loops take their arguments by value: through a reference, each store would make the compiler read the
// pointers again.

template <bool kRelu, bool kSkip, bool kStream>
inline void forward_loop(const BatchNormRows r) {
  over_table(r.count, r.width, [&](int64_t i, int64_t j, int n) {
    vf v = (get(r.x + i, n) - get(r.mean + j, n)) * get(r.scale + j, n) + get(r.bias + j, n);
    if (kRelu) v = v < 0 ? zero() : v;
    if (kSkip) v += get(r.skip + i, n);
    kStream&& n == kLanes ? stream(r.y + i, v) : put(r.y + i, v, n);
  });
}

template <bool kStream>
inline void forward(const BatchNormRows& r) {
  if (r.relu) return r.skip ? forward_loop<true, true, kStream>(r) : forward_loop<true, false, kStream>(r);
  return r.skip ? forward_loop<false, true, kStream>(r) : forward_loop<false, false, kStream>(r);
}

/// g: dy where the unit was open. Uses the same expression as the forward pass.
template <bool kRelu>
inline vf open_gradient(const BatchNormGradientRows& r, vf centered, int64_t i, int64_t j, int n) {
  const vf g = get(r.dy + i, n);
  if (!kRelu) return g;
  return centered * get(r.scale + j, n) + get(r.bias + j, n) > 0 ? g : zero();
}

template <bool kRelu>
inline void sums_loop(const BatchNormGradientRows r) {
  over_table(r.count, r.width, [&](int64_t i, int64_t j, int n) {
    const vf centered = get(r.x + i, n) - get(r.mean + j, n);
    const vf g = open_gradient<kRelu>(r, centered, i, j, n);
    put(r.sums + j, get(r.sums + j, n) + g, n);
    put(r.products + j, get(r.products + j, n) + g * centered, n);
  });
}

template <bool kRelu>
inline void gradient_loop(const BatchNormGradientRows r) {
  over_table(r.count, r.width, [&](int64_t i, int64_t j, int n) {
    const vf centered = get(r.x + i, n) - get(r.mean + j, n);
    const vf g = open_gradient<kRelu>(r, centered, i, j, n);
    put(r.dx + i, g * get(r.scale + j, n) + (centered * get(r.slope + j, n) + get(r.offset + j, n)), n);
  });
}

}  // namespace

void channel_sums(const float* x, int64_t count, int64_t width, float* sums) {
  clear(sums, width);
  over_table(count, width,
             [&](int64_t i, int64_t j, int n) { put(sums + j, get(sums + j, n) + get(x + i, n), n); });
}

void channel_moments(const float* x, int64_t count, int64_t width, const float* center, float* sums,
                     float* squares) {
  clear(sums, width);
  clear(squares, width);
  over_table(count, width, [&](int64_t i, int64_t j, int n) {
    const vf d = get(x + i, n) - get(center + j, n);
    put(sums + j, get(sums + j, n) + d, n);
    put(squares + j, get(squares + j, n) + d * d, n);
  });
}

void batch_norm_rows(const BatchNormRows& r) {
  if (r.stream) {
    forward<true>(r);
    stream_fence();
  } else {
    forward<false>(r);
  }
}

void batch_norm_gradient_sums(const BatchNormGradientRows& r) {
  clear(r.sums, r.width);
  clear(r.products, r.width);
  if (r.relu) return sums_loop<true>(r);
  return sums_loop<false>(r);
}

void batch_norm_gradient_rows(const BatchNormGradientRows& r) {
  if (r.relu) return gradient_loop<true>(r);
  return gradient_loop<false>(r);
}

}  // namespace sfr::SFR_LEVEL
