// Philox words, uniforms and normals for `*.simd.cpp` sources: core/rng.h for sixteen blocks at once.
//
// Everything is static inline in the level's own namespace (see math/simd.h). The words equal those of
// core/rng.h; normals are computed in f32 and differ from its doubles by less than 2e-6.
#pragma once

#include <stdint.h>

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

/// Philox blocks that are computed together, and the stream elements they hold.
constexpr int kRandomBlocks = 16;
constexpr int kRandomGroup = 4 * kRandomBlocks;

struct RandomSource {
  uint32_t seed_low, seed_high, step, stream;
};

/// words[w][b] = word w of block first_block + b: element 4 (first_block + b) + w of the stream.
SFR_INLINE void random_words(const RandomSource& source, uint64_t first_block,
                             uint32_t words[4][kRandomBlocks]) {
  uint32_t *c0 = words[0], *c1 = words[1], *c2 = words[2], *c3 = words[3];
  for (int b = 0; b < kRandomBlocks; ++b) {
    const uint64_t block = first_block + static_cast<uint64_t>(b);
    c0[b] = static_cast<uint32_t>(block);
    c1[b] = static_cast<uint32_t>(block >> 32);
    c2[b] = source.step;
    c3[b] = source.stream;
  }
  uint32_t k0 = source.seed_low, k1 = source.seed_high;
  for (int round = 0; round < 10; ++round) {
    for (int b = 0; b < kRandomBlocks; ++b) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[b], p1 = uint64_t{0xCD9E8D57u} * c2[b];
      c0[b] = static_cast<uint32_t>(p1 >> 32) ^ c1[b] ^ k0;
      c1[b] = static_cast<uint32_t>(p1);
      c2[b] = static_cast<uint32_t>(p0 >> 32) ^ c3[b] ^ k1;
      c3[b] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

/// ln(u) for 0 < u <= 1, relative error below 2e-7: u = 2^e m with m in [0.70, 1.42), ln m = 2 artanh(s) with
/// s = (m - 1) / (m + 1), |s| < 0.172, series to s^9.
SFR_INLINE float log_unit(float u) {
  union {
    float f;
    int32_t i;
  } bits{u}, mantissa;
  const int32_t e = (bits.i - 0x3f3504f3) >> 23;
  mantissa.i = bits.i - e * (1 << 23);
  const float f = mantissa.f - 1.0f, s = f / (f + 2.0f), z = s * s;
  const float series = (((z * (2.0f / 9) + 2.0f / 7) * z + 2.0f / 5) * z + 2.0f / 3) * z;
  const float steps = static_cast<float>(e);
  return steps * 0.693359375f + (steps * -2.12194440e-4f + s * series + 2.0f * s);
}

/// sin and cos of 2 pi m 2^-24 for m < 2^24. The quadrant and the rest of at most pi / 4 are exact; Taylor
/// polynomials of degree 9 and 10 leave less than 2e-9 there, so f32 rounding decides.
SFR_INLINE void sine_cosine(uint32_t m, float* sine, float* cosine) {
  const int32_t quadrant = static_cast<int32_t>((m + (1u << 21)) >> 22);
  const float t = static_cast<float>(static_cast<int32_t>(m) - quadrant * (1 << 22)) * 3.7450704e-7f;
  const float z = t * t;
  const float odd = (((z * (1.0f / 362880) - 1.0f / 5040) * z + 1.0f / 120) * z - 1.0f / 6) * z * t + t;
  const float even =
      ((((z * (-1.0f / 3628800) + 1.0f / 40320) * z - 1.0f / 720) * z + 1.0f / 24) * z - 0.5f) * z + 1.0f;
  const float s = quadrant & 1 ? even : odd, c = quadrant & 1 ? odd : even;
  *sine = quadrant & 2 ? -s : s;
  *cosine = (quadrant + 1) & 2 ? -c : c;
}

/// normals[w][b] from words[w][b]: Box-Muller of words (0, 1) and (2, 3) as core/rng.h does it.
SFR_INLINE void random_normals(const uint32_t words[4][kRandomBlocks], float normals[4][kRandomBlocks]) {
  for (int pair = 0; pair < 4; pair += 2) {
    for (int b = 0; b < kRandomBlocks; ++b) {
      const float u = static_cast<float>(static_cast<int32_t>(words[pair][b] >> 8) + 1) * 0x1p-24f;
      const float radius = __builtin_sqrtf(-2.0f * log_unit(u));
      float sine, cosine;
      sine_cosine(words[pair + 1][b] >> 8, &sine, &cosine);
      normals[pair][b] = radius * cosine;
      normals[pair + 1][b] = radius * sine;
    }
  }
}

}  // namespace sfr::SFR_LEVEL
