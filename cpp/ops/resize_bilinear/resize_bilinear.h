// resize_bilinear: x [N, H, W, C] f32, attribute size [H2, W2] -> y [N, H2, W2, C]; all extents >= 1. Equals
// torch.nn.functional.interpolate(mode="bilinear", align_corners=False, antialias=False): output i reads the
// input at max((i + 1/2) * in / out - 1/2, 0), clamped to the last line. Columns within a row after rows.
// resize_bilinear_backward(dy), attribute size [H, W] of x -> dx: each input gathers from the outputs that
// read it.
#pragma once
#include <array>
#include <cstdint>

#include "math/levels.h"

namespace sfr {

struct ResizeAttributes {
  std::array<int64_t, 2> size = {0, 0};
  template <class V>
  void visit(V& v) {
    v("size", size);
  }
};

/// What one output line or column reads: (1 - weight) * input[low] + weight * input[high].
struct ResizeTap {
  int32_t low, high;
  float weight;
};

/// Taps of the outputs of one axis.
void fill_resize_taps(int64_t inputs, int64_t outputs, ResizeTap* taps);

// y [count] = (1 - weight) * low + weight * high.
SFR_DECLARE_LEVELS(void blend_rows(const float* low, const float* high, float weight, int64_t count,
                                   float* y))
// y [columns][channels] from a blended row x [..][channels].
SFR_DECLARE_LEVELS(void blend_columns(const float* x, const ResizeTap* taps, int64_t columns,
                                      int64_t channels, float* y))
// y += factor * x.
SFR_DECLARE_LEVELS(void add_scaled_row(const float* x, float factor, int64_t count, float* y))
// x [inputs][channels] = sum of y [columns][channels] by the taps; taps read inputs in rising order.
SFR_DECLARE_LEVELS(void gather_columns(const float* y, const ResizeTap* taps, int64_t columns, int64_t inputs,
                                       int64_t channels, float* x))

}  // namespace sfr
