// Compute-bound: about 10 rounds of Philox per 4 elements, for normals half a logarithm and a sine or cosine
// each.
#include "ops/noise/noise.h"

#include "math/random.h"

namespace sfr::SFR_LEVEL {

namespace {

static_assert(kNoiseGroup == kRandomGroup, "rows start at whole groups");

/// Writes group after group: fill(words, group) turns the words of 64 elements into values.
template <class F>
inline void over_groups(const NoiseRow& row, F fill) {
  const RandomSource source{row.seed_low, row.seed_high, row.step, row.stream};
  for (int64_t done = 0; done < row.count; done += kRandomGroup) {
    uint32_t words[4][kRandomBlocks];
    float values[4][kRandomBlocks];
    random_words(source, static_cast<uint64_t>(row.first + done) / 4, words);
    fill(words, values);
    float* y = row.y + done;
    const int64_t left = row.count - done;
    if (left >= kRandomGroup) {
      for (int b = 0; b < kRandomBlocks; ++b)
        for (int w = 0; w < 4; ++w) y[4 * b + w] = values[w][b];
    } else {
      for (int64_t i = 0; i < left; ++i) y[i] = values[i % 4][i / 4];
    }
  }
}

}  // namespace

void gaussian_noise_row(const NoiseRow& row, float scale, float limit) {
  over_groups(row, [=](const uint32_t words[4][kRandomBlocks], float values[4][kRandomBlocks]) {
    random_normals(words, values);
    for (int w = 0; w < 4; ++w)
      for (int b = 0; b < kRandomBlocks; ++b) {
        const float v = scale * values[w][b], below = v > limit ? limit : v;
        values[w][b] = below < -limit ? -limit : below;
      }
  });
}

void uniform_noise_row(const NoiseRow& row, float scale) {
  over_groups(row, [=](const uint32_t words[4][kRandomBlocks], float values[4][kRandomBlocks]) {
    for (int w = 0; w < 4; ++w)
      for (int b = 0; b < kRandomBlocks; ++b)  // 24 bits: 2 u - 1 is exact
        values[w][b] = scale * (static_cast<float>(static_cast<int32_t>(words[w][b] >> 8)) * 0x1p-23f - 1.0f);
  });
}

}  // namespace sfr::SFR_LEVEL
