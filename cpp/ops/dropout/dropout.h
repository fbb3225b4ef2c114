// dropout: y = x / (1 - rate) where u >= rate, else 0 (inverted dropout; torch.nn.Dropout, with channels
// torch.nn.Dropout3d); u is the uniform of word i of a counter-based stream (core/rng.h), so the mask is
// never stored.
//   x [N, .., C]  rng i32 [3] = (low word of seed, high word of seed, step) -> y [N, .., C]; f32; may run in
//   place attributes rate in [0, 1), stream (its name), channels: one draw per (n, c), element n * C + c of
//   the stream, instead of one per element, in memory order. The gradient is the same op applied to dy.
//   Errors: rate out of range, no stream name, no axes with channels.
#pragma once
#include <cstdint>
#include <string>

#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

struct DropoutAttributes {
  double rate = 0.5;
  std::string stream;
  bool channels = false;
  template <class V>
  void visit(V& v) {
    v("rate", rate);
    v("stream", stream);
    v("channels", channels);
  }
};

/// Parameters of the kernel of dropout.cu. `channels`, `per_item`: extents of x for whole channels, else 0.
struct DropoutArgs {
  Elements x;
  const int32_t* rng;
  Results y;
  int64_t count, channels, per_item;
  uint32_t stream, threshold;
  float factor;
};

/// Elements [first, first + count) of a stream; first is a multiple of kDropoutGroup.
struct DropoutRow {
  uint32_t seed_low, seed_high, step, stream;
  int64_t first, count;
  uint32_t threshold;  // kept where the 24-bit uniform is at least this
  float factor;        // 1 / (1 - rate)
};
inline constexpr int64_t kDropoutGroup = 64;

// y[i] = x[i] * factor, or 0 where the element is dropped.
SFR_DECLARE_LEVELS(void dropout_row(const DropoutRow& row, const float* x, float* y))
// What the elements are multiplied by, factor or 0; writes whole groups, up to the next multiple of
// kDropoutGroup.
SFR_DECLARE_LEVELS(void dropout_factors(const DropoutRow& row, float* factors))
// Over rows of channels: y[r, c] = x[r, c] * factors[c]; dropped channels become 0 whatever they hold.
SFR_DECLARE_LEVELS(void drop_channels(const float* x, float* y, int64_t rows, int64_t channels,
                                      const float* factors))

}  // namespace sfr
