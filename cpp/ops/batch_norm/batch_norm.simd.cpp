// Memory-bound: one read of x (forward) or of x and dy (backward) per pass. Partial sums stay in f32 for at
// most a block of a few thousand floats; the caller adds blocks in double.
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

/// Vectors of a table whose sums stay in registers while the rows go by.
constexpr int64_t kHeld = 4;

/// Adds the entries of each channel up in the first of them.
inline void fold(float* table, int64_t width, int64_t channels) {
  for (int64_t j = channels; j < width; j += channels)
    for (int64_t c = 0; c < channels; ++c) table[c] += table[j + c];
}

/// Calls f(i, j, n, first, second) as over_table does; f adds to two sums of position j, which begin at 0 and
/// end up in the tables, those of a channel folded into its first entry.
template <class F>
inline void accumulate(int64_t count, int64_t width, int64_t channels, float* first, float* second, F f) {
  const int64_t rows = width % (kHeld * kLanes) == 0 ? count / width : 0, done = rows * width;
  for (int64_t j = 0; j < width; ++j) first[j] = second[j] = 0;
  for (int64_t j = 0; rows > 0 && j < width; j += kHeld * kLanes) {
    vf a[kHeld] = {}, b[kHeld] = {};
    for (int64_t i = j; i < done; i += width) {
#pragma GCC unroll 4
      for (int64_t v = 0; v < kHeld * kLanes; v += kLanes)
        f(i + v, j + v, kLanes, a[v / kLanes], b[v / kLanes]);
    }
    for (int64_t v = 0; v < kHeld; ++v)
      store(first + j + v * kLanes, a[v]), store(second + j + v * kLanes, b[v]);
  }
  over_table(count - done, width, [&](int64_t i, int64_t j, int n) {
    vf a = get(first + j, n), b = get(second + j, n);
    f(done + i, j, n, a, b);
    put(first + j, a, n);
    put(second + j, b, n);
  });
  fold(first, width, channels);
  fold(second, width, channels);
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
  accumulate(
      r.count, r.width, r.channels, r.sums,
      r.products, [&](int64_t i, int64_t j, int n, vf& sum, vf& product) __attribute__((always_inline)) {
        const vf centered = get(r.x + i, n) - get(r.mean + j, n);
        const vf g = open_gradient<kRelu>(r, centered, i, j, n);
        sum += g;
        product += g * centered;
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

void channel_moments(const float* x, int64_t count, int64_t width, int64_t channels, const float* center,
                     float* sums, float* squares) {
  accumulate(
      count, width, channels, sums,
      squares, [&](int64_t i, int64_t j, int n, vf& sum, vf& square) __attribute__((always_inline)) {
        const vf d = get(x + i, n) - get(center + j, n);
        sum += d;
        square += d * d;
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
  if (r.relu) return sums_loop<true>(r);
  return sums_loop<false>(r);
}

void batch_norm_gradient_rows(const BatchNormGradientRows& r) {
  if (r.relu) return gradient_loop<true>(r);
  return gradient_loop<false>(r);
}

}  // namespace sfr::SFR_LEVEL
