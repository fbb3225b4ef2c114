// What a consumer that normalises while it loads makes of an element, by a table of batch_norm_table.
#pragma once
#include "cuda/kernel.h"

namespace sfr::cuda {

/// relu((x - mean) * scale + bias), `table` being their rows [3][channels].
SFR_DEVICE float normalised_by(const float* table, int64_t channels, int64_t channel, float x) {
  const float v = fmaf(x - table[channel], table[channels + channel], table[2 * channels + channel]);
  return v < 0 ? 0.0f : v;
}

}  // namespace sfr::cuda
