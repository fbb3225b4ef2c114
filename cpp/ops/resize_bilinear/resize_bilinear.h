// resize_bilinear: x [N, H, W, C] f32, attribute size [H2, W2] -> y [N, H2, W2, C]; all extents >= 1. Equals
// torch.nn.functional.interpolate(mode="bilinear", align_corners=False, antialias=False): output i reads the
// input at max((i + 1/2) * in / out - 1/2, 0), clamped to the last line. Columns within a row after rows.
// resize_bilinear_backward(dy), attribute size [H, W] of x -> dx: each input gathers from the outputs that
// read it.
#pragma once
#include <array>
#include <cstdint>

#include "core/host_device.h"
#include "cuda/elements.h"
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

/// The tap of output i of an axis.
inline SFR_HOST_DEVICE ResizeTap resize_tap(int64_t inputs, int64_t outputs, int64_t i) {
  const double scale = static_cast<double>(inputs) / static_cast<double>(outputs);
  const double center = (static_cast<double>(i) + 0.5) * scale - 0.5, at = center > 0 ? center : 0;
  const int64_t last = inputs - 1, whole = static_cast<int64_t>(at), low = whole < last ? whole : last;
  return {static_cast<int32_t>(low), static_cast<int32_t>(low < last ? low + 1 : last),
          static_cast<float>(at - static_cast<double>(low))};
}

/// Extents of both sides: `input` is what the forward op reads, `output` what it writes.
struct Resize {
  int64_t batch, input_rows, input_columns, output_rows, output_columns, channels;
};

/// Parameters of the kernels of resize_bilinear.cu: from x to y, the gradients of output and input or the
/// other way round.
struct ResizeArgs {
  Resize sizes;
  Elements x;
  Results y;
};

struct KernelContext;
void launch_resize(const KernelContext& c, const ResizeArgs& args);
void launch_resize_backward(const KernelContext& c, const ResizeArgs& args);

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
