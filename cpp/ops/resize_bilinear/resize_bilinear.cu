// Memory-bound: one thread per element; taps are computed where they are needed.
#include "cuda/bf16.h"
#include "ops/resize_bilinear/resize_bilinear.h"

namespace sfr::cuda {

SFR_DEVICE float blend(float low, float high, float weight) {
  return (1.0f - weight) * low + weight * high;
}

SFR_KERNEL(resize_forward, ResizeArgs) {
  const Resize& s = args.sizes;
  over_elements(s.batch * s.output_rows * s.output_columns * s.channels, [&](int64_t i) {
    const int64_t channel = i % s.channels, pixel = i / s.channels, line = pixel / s.output_columns;
    const ResizeTap row = resize_tap(s.input_rows, s.output_rows, line % s.output_rows);
    const ResizeTap column = resize_tap(s.input_columns, s.output_columns, pixel % s.output_columns);
    const Elements image =
        args.x + line / s.output_rows * s.input_rows * s.input_columns * s.channels + channel;
    const auto at = [&](int32_t x) {
      const Elements first = image + x * s.channels;
      const int64_t pitch = s.input_columns * s.channels;
      return blend(first[row.low * pitch], first[row.high * pitch], row.weight);
    };
    args.y[i] = blend(at(column.low), at(column.high), column.weight);
  });
}

/// The outputs of an axis that may read `input`, and how much of it each of them reads.
struct Readers {
  int64_t inputs, outputs, input;

  SFR_DEVICE int64_t bound(double center) const {
    const double at = (center + 0.5) * static_cast<double>(outputs) / static_cast<double>(inputs) - 0.5;
    return at < 0 ? 0 : at < static_cast<double>(outputs) ? static_cast<int64_t>(at) : outputs - 1;
  }
  // An output between two inputs reads both: those less than one input away, and one more for rounding.
  SFR_DEVICE int64_t first() const { return input == 0 ? 0 : bound(static_cast<double>(input - 1)); }
  SFR_DEVICE int64_t last() const {
    const int64_t end = bound(static_cast<double>(input + 1)) + 1;
    return end < outputs ? end : outputs - 1;
  }
  SFR_DEVICE float share(int64_t output) const {
    const ResizeTap tap = resize_tap(inputs, outputs, output);
    return (tap.low == input ? 1.0f - tap.weight : 0.0f) + (tap.high == input ? tap.weight : 0.0f);
  }
};

SFR_KERNEL(resize_backward, ResizeArgs) {
  const Resize& s = args.sizes;
  over_elements(s.batch * s.input_rows * s.input_columns * s.channels, [&](int64_t i) {
    const int64_t channel = i % s.channels, pixel = i / s.channels, line = pixel / s.input_columns;
    const Readers rows{s.input_rows, s.output_rows, line % s.input_rows};
    const Readers columns{s.input_columns, s.output_columns, pixel % s.input_columns};
    const Elements image =
        args.x + line / s.input_rows * s.output_rows * s.output_columns * s.channels + channel;
    float sum = 0;
    for (int64_t y = rows.first(); y <= rows.last(); ++y) {
      const float share = rows.share(y);
      for (int64_t x = columns.first(); share != 0 && x <= columns.last(); ++x)
        sum += share * columns.share(x) * image[(y * s.output_columns + x) * s.channels];
    }
    args.y[i] = sum;
  });
}

}  // namespace sfr::cuda
