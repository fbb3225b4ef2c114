// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). The value of element i of a stream
// depends on (seed, step, stream, i) alone, so that draws can be replayed, resumed and compared between
// devices, languages and numbers of threads. src/graph/random.ts and test/oracle/philox.py are its twins.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "core/host_device.h"

namespace sfr {

/// Stream id of a stable name such as `student/bottleneck/dropout`: FNV-1a, 32 bits.
inline uint32_t stream_id(const std::string& name) {
  uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

struct RandomKey {
  uint64_t seed = 0;
  uint32_t step = 0;
  uint32_t stream = 0;
};

/// The key that the rng input of an op holds: (low word of seed, high word of seed, step).
inline SFR_HOST_DEVICE RandomKey key_from_words(const int32_t* rng, uint32_t stream) {
  return {uint64_t{static_cast<uint32_t>(rng[1])} << 32 | static_cast<uint32_t>(rng[0]),
          static_cast<uint32_t>(rng[2]), stream};
}

/// The four words of block `block`; element i of the stream is word i % 4 of block i / 4.
SFR_HOST_DEVICE inline std::array<uint32_t, 4> philox(const RandomKey& key, uint64_t block) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), key.step,
                               key.stream};
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// Uniform in [0, 1) with 24 bits, exact in f32.
SFR_HOST_DEVICE inline float uniform_from_word(uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// Two normal deviates from a pair of words (Box-Muller, in double).
SFR_HOST_DEVICE inline std::array<double, 2> normals_from_words(uint32_t a, uint32_t b) {
  const double u1 = (static_cast<double>(a >> 8) + 1.0) * 0x1p-24, u2 = static_cast<double>(b >> 8) * 0x1p-24;
  const double r = std::sqrt(-2.0 * std::log(u1)), angle = 6.283185307179586 * u2;
  return {r * std::cos(angle), r * std::sin(angle)};
}

}  // namespace sfr
