// mix_cubes: exchanges cubes between the samples of a batch, each at its place (MagicNet, Chen et al. 2023).
//   x f32 [N, D, H, W, C], rng i32 [3] = (low word of seed, high word of seed, step) -> y (as x)
//   Attributes side: that of the cubes, voxels, a divisor of D, H and W; stream (its name); undo.
//   y[b] at cube p = x[order_p[b]] at cube p; undone y[order_p[b]] = x[b]. order_p: the samples by rising
//   uniforms p N + b of the stream (ties: the earlier first), cubes p counted with x fastest. Any channels:
//   of crops to mix them, of a network's maps at the same resolution to put them back.
// The gradient of either is the other. Errors: an empty stream name, a side that divides an extent not.
#pragma once
#include <cstdint>
#include <string>

#include "core/rng.h"

namespace sfr {

struct MixCubesAttributes {
  int64_t side = 32;
  std::string stream;
  bool undo = false;
  template <class V>
  void visit(V& v) {
    v("side", side);
    v("stream", stream);
    v("undo", undo);
  }
};

/// The sample that stands at `rank` of cube p: the one that `rank` others come before.
inline SFR_HOST_DEVICE int64_t sample_at(const RandomKey& key, int64_t p, int64_t samples, int64_t rank) {
  const auto draw = [&](int64_t b) {
    const auto word = static_cast<uint64_t>(p * samples + b);
    return uniform_from_word(philox(key, word / 4)[static_cast<size_t>(word % 4)]);
  };
  for (int64_t b = 0; b < samples; ++b) {
    int64_t before = 0;
    for (int64_t other = 0; other < samples; ++other)
      before += draw(other) < draw(b) || (draw(other) == draw(b) && other < b) ? 1 : 0;
    if (before == rank) return b;
  }
  return rank;
}

/// Parameters of the kernel of mix_cubes.cu: sizes [N, D, H, W, C].
struct MixCubesArgs {
  const float* x;
  const int32_t* rng;
  float* y;
  int64_t samples, d, h, w, channels, side;
  uint32_t stream;
  bool undo;
};

}  // namespace sfr
