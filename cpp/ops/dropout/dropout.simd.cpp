#include "ops/dropout/dropout.h"

#include "math/random.h"

namespace sfr::SFR_LEVEL {

static_assert(kDropoutGroup == kRandomGroup, "rows start at whole groups");

namespace {

/// Factors of the 64 elements from `first` on, in stream order: what a kept element is multiplied by, or 0.
inline void group_factors(const DropoutRow& row, int64_t first, float* factors) {
  const RandomSource source{row.seed_low, row.seed_high, row.step, row.stream};
  const int32_t threshold = static_cast<int32_t>(row.threshold);
  const float factor = row.factor;
  uint32_t words[4][kRandomBlocks];
  random_words(source, static_cast<uint64_t>(first) / 4, words);
  float kept[4][kRandomBlocks];
  for (int w = 0; w < 4; ++w)
    for (int b = 0; b < kRandomBlocks; ++b)
      kept[w][b] = static_cast<int32_t>(words[w][b] >> 8) >= threshold ? factor : 0.0f;
  for (int b = 0; b < kRandomBlocks; ++b)
    for (int w = 0; w < 4; ++w) factors[4 * b + w] = kept[w][b];
}

/// Zero whatever a dropped element holds, NaN included.
inline vf keep(vf x, vf factor) {
  return factor > 0 ? x * factor : zero();
}

}  // namespace

void dropout_row(const DropoutRow& row, const float* x, float* y) {
  for (int64_t done = 0; done < row.count; done += kRandomGroup) {
    float factors[kRandomGroup];
    group_factors(row, row.first + done, factors);
    const int64_t n = row.count - done < kRandomGroup ? row.count - done : kRandomGroup;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + done + i, keep(load(x + done + i), load(factors + i)));
    const int rest = static_cast<int>(n - i);
    if (rest > 0)
      store_partial(y + done + i, keep(load_partial(x + done + i, rest), load(factors + i)), rest);
  }
}

void dropout_factors(const DropoutRow& row, float* factors) {
  for (int64_t done = 0; done < row.count; done += kRandomGroup)
    group_factors(row, row.first + done, factors + done);
}

void drop_channels(const float* x, float* y, int64_t rows, int64_t channels, const float* factors) {
  for (int64_t r = 0; r < rows; ++r, x += channels, y += channels) {
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) store(y + c, keep(load(x + c), load(factors + c)));
    const int rest = static_cast<int>(channels - c);
    if (rest > 0)
      store_partial(y + c, keep(load_partial(x + c, rest), load_partial(factors + c, rest)), rest);
  }
}

}  // namespace sfr::SFR_LEVEL
