// Products of many rows with a weight of few columns, the head of a segmenter: most of a register tile of the
// matrix product would be empty. Memory limits here: each row is read or written once. Plain data, since
// level sources include it.
#pragma once

#include <stdint.h>

#include "math/levels.h"

namespace sfr {

/// The largest weight [channels, outputs] that these functions take; it lies on their stack.
inline constexpr int64_t kMostFewOutputs = 8;
inline constexpr int64_t kMostChannels = 64;

/// y [rows, outputs] = x [rows, channels] weight [channels, outputs] + bias [outputs] (or null).
SFR_DECLARE_LEVELS(void few_outputs_rows(const float* x, const float* weight, const float* bias, float* y,
                                         int64_t rows, int64_t channels, int64_t outputs))

/// dx [rows, channels] = dy [rows, outputs] weight^T. `streamed`: past the caches, for whole cache lines.
SFR_DECLARE_LEVELS(void few_outputs_input_rows(const float* dy, const float* weight, float* dx, int64_t rows,
                                               int64_t channels, int64_t outputs, bool streamed))

/// Adds x^T dy to dweight [channels, outputs] and the sum of dy to dbias [outputs].
SFR_DECLARE_LEVELS(void few_outputs_weight_rows(const float* x, const float* dy, int64_t rows,
                                                int64_t channels, int64_t outputs, double* dweight,
                                                double* dbias))

}  // namespace sfr
