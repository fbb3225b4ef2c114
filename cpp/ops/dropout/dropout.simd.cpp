#include "ops/dropout/dropout.h"

#include "math/random.h"

namespace sfr::SFR_LEVEL {

static_assert(kDropoutGroup == kRandomGroup, "rows start at whole groups");

void dropout_row(const DropoutRow& row, const float* x, float* y) {
  const RandomSource source{row.seed_low, row.seed_high, row.step, row.stream};
  const int32_t threshold = static_cast<int32_t>(row.threshold);
  for (int64_t done = 0; done < row.count; done += kRandomGroup) {
    uint32_t words[4][kRandomBlocks];
    int32_t draws[kRandomGroup];  // in stream order
    random_words(source, static_cast<uint64_t>(row.first + done) / 4, words);
    for (int b = 0; b < kRandomBlocks; ++b)
      for (int w = 0; w < 4; ++w) draws[4 * b + w] = static_cast<int32_t>(words[w][b] >> 8);
    const int64_t n = row.count - done < kRandomGroup ? row.count - done : kRandomGroup;
    for (int64_t i = 0; i < n; ++i) {
      const float value = x ? x[done + i] : 1.0f;
      y[done + i] = draws[i] >= threshold ? value * row.factor : 0.0f;
    }
  }
}

void drop_channels(const float* x, float* y, int64_t rows, int64_t channels, const float* factors) {
  for (int64_t r = 0; r < rows; ++r, x += channels, y += channels)
    for (int64_t c = 0; c < channels; ++c) y[c] = factors[c] > 0 ? x[c] * factors[c] : 0.0f;
}

}  // namespace sfr::SFR_LEVEL
