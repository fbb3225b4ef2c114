// Products along the last axis, for quantities per voxel of values per class.
// dot_rows: y = sum over the last axis of a * b.   a [.., C], b [.., C] -> y [..]; f32
// scale_rows: y = x * factor of its row.           x [.., C], factor [..] -> y [.., C]; f32; may run in place
// of x Each is the other's gradient: d dot_rows = (scale_rows(b, dy), scale_rows(a, dy)), d scale_rows =
// (scale_rows(dy, factor), dot_rows(dy, x)).
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

/// Parameters of the kernels of row_products.cu; b is [rows, channels] or a factor per row.
struct RowProductArgs {
  const float *a, *b;
  float* y;
  int64_t rows, channels;
};

SFR_DECLARE_LEVELS(void dot_rows(const float* a, const float* b, int64_t rows, int64_t channels, float* y))
SFR_DECLARE_LEVELS(void scale_rows(const float* x, const float* factor, int64_t rows, int64_t channels,
                                   float* y))

}  // namespace sfr
