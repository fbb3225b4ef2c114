// Noise tensors from counter-based streams: the same (seed, step, stream) always gives the same noise.
// gaussian_noise: y = clip(scale * n, -limit, limit); n is standard normal.   attributes shape, scale, limit
// (0: no
//   clipping), stream.   rng i32 [3] = (low word of seed, high word of seed, step) -> y [shape] f32
//   Element i in memory order is normal i of the stream: Box-Muller of words (2j, 2j + 1), j = floor(i / 2),
//   cosine for even i, sine for odd i (core/rng.h), within 2e-6 of the value in double.
// uniform_noise: y = scale * (2 u - 1), u the uniforms of the stream: in [-scale, scale).   attributes shape,
//   scale, stream; rng as above -> y [shape] f32
// Not differentiable: nothing flows into rng. Errors: an empty stream name, negative scale or limit.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "math/levels.h"

namespace sfr {

struct GaussianNoiseAttributes {
  std::vector<int64_t> shape;
  double scale = 1;
  double limit = 0;
  std::string stream;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
    v("scale", scale);
    v("limit", limit);
    v("stream", stream);
  }
};

struct UniformNoiseAttributes {
  std::vector<int64_t> shape;
  double scale = 1;
  std::string stream;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
    v("scale", scale);
    v("stream", stream);
  }
};

/// Parameters of the kernels of noise.cu; uniform noise has no limit.
struct NoiseArgs {
  const int32_t* rng;
  float* y;
  int64_t count;
  uint32_t stream;
  float scale, limit;
};

/// Elements [first, first + count) of a stream; first is a multiple of 64 (kNoiseGroup).
struct NoiseRow {
  uint32_t seed_low, seed_high, step, stream;
  int64_t first, count;
  float* y;
};
inline constexpr int64_t kNoiseGroup = 64;

// y = clip(scale * normal, -limit, limit)
SFR_DECLARE_LEVELS(void gaussian_noise_row(const NoiseRow& row, float scale, float limit))
// y = scale * (2 uniform - 1)
SFR_DECLARE_LEVELS(void uniform_noise_row(const NoiseRow& row, float scale))

}  // namespace sfr
