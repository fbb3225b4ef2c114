// Memory-bound: each input is read once, a vector of channels at a time.
#include "ops/max_pool3d/max_pool3d.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

/// Calls f(input offset of the block's left column, output offset, lanes) for every vector of outputs.
template <class F>
inline void over_vectors(int64_t count, int64_t channels, F f) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t c = 0; c < channels; c += kLanes)
      f(2 * i * channels + c, i * channels + c,
        channels - c < kLanes ? static_cast<int>(channels - c) : kLanes);
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

/// The larger one; a when they are equal, NaN when either is.
inline vf larger(vf a, vf b) {
  const vi takes_b = (b > a) | (b != b);
  return takes_b ? b : a;
}

/// The eight inputs of a block, z fastest, then y, then x. Rows are (z, y) = (0, 0), (0, 1), (1, 0), (1, 1).
struct Block {
  vf values[8];
  Block(const MaxPoolRow& row, int64_t at, int n) {
    constexpr int kOrder[] = {0, 2, 1, 3};
    for (int k = 0; k < 8; ++k) values[k] = get(row.x[kOrder[k % 4]] + at + k / 4 * row.channels, n);
  }
  vf largest() const {
    vf y = values[0];
    for (int k = 1; k < 8; ++k) y = larger(y, values[k]);
    return y;
  }
};

}  // namespace

void max_pool_row(const MaxPoolRow& r, float* y) {
  const MaxPoolRow row = r;
  over_vectors(row.count, row.channels,
               [&](int64_t in, int64_t out, int n) { put(y + out, Block(row, in, n).largest(), n); });
}

void max_pool_gradient_row(const MaxPoolRow& r, const float* dy, float* const dx[4]) {
  const MaxPoolRow row = r;
  float* const to[4] = {dx[0], dx[2], dx[1], dx[3]};
  over_vectors(row.count, row.channels, [&](int64_t in, int64_t out, int n) {
    const Block block(row, in, n);
    const vf y = block.largest(), g = get(dy + out, n);
    vi open = ~vi{};  // where the largest has not been met yet
    for (int k = 0; k < 8; ++k) {
      const vi is_it = open & ((block.values[k] == y) | (block.values[k] != block.values[k]));
      put(to[k % 4] + in + k / 4 * row.channels, is_it ? g : zero(), n);
      open &= ~is_it;
    }
  });
}

}  // namespace sfr::SFR_LEVEL
