// Copies of short runs through a batch-norm and ReLU. Plain data, since level sources include it.
#pragma once

#include <stdint.h>

#include "math/levels.h"

namespace sfr {

/// Copies `count` runs of `run` floats from src (pitch run) to dst (pitch dst_pitch) as relu((x - mean) *
/// scale
/// + bias); tables is [3][run]: mean, scale, bias. The expression is batch_norm's, bit by bit.
SFR_DECLARE_LEVELS(void normalise_runs(const float* src, float* dst, int64_t dst_pitch, int64_t run,
                                       int64_t count, const float* tables))

}  // namespace sfr
