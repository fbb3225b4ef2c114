// Memory-bound: one thread per element that is written.
#include "cuda/bf16.h"
#include "ops/stitch/stitch.h"

namespace sfr::cuda {

/// The element of the slices that lies on element i of the canvases; -1 where no slice is.
SFR_DEVICE int64_t slice_element(const StitchArgs& args, int64_t i) {
  const StitchGeometryAttributes& a = args.geometry;
  const int64_t channel = i % args.channels, pixel = i / args.channels, line = pixel / a.canvas;
  const int64_t x = pixel % a.canvas - a.origin_x, y = line % a.canvas - a.origin_y, canvas = line / a.canvas;
  if (x < 0 || x / a.tile_width >= a.cols || x % a.tile_width >= a.slice_width) return -1;
  if (y < 0 || y / a.tile_height >= a.rows || y % a.tile_height >= a.slice_height) return -1;
  const int64_t tile = (canvas % a.canvases * a.rows + y / a.tile_height) * a.cols + x / a.tile_width;
  const int64_t slice = tile - a.front_slices;
  if (slice < 0 || slice >= a.slices) return -1;
  const int64_t row = (canvas / a.canvases * a.slices + slice) * a.slice_height + y % a.tile_height;
  return (row * a.slice_width + x % a.tile_width) * args.channels + channel;
}

/// The element of the canvases under element i of the slices.
SFR_DEVICE int64_t canvas_element(const StitchArgs& args, int64_t i) {
  const StitchGeometryAttributes& a = args.geometry;
  const int64_t channel = i % args.channels, pixel = i / args.channels, line = pixel / a.slice_width;
  const int64_t slice = line / a.slice_height, tile = slice % a.slices + a.front_slices;
  const int64_t canvas = slice / a.slices * a.canvases + tile / (a.rows * a.cols);
  const int64_t row = a.origin_y + tile % (a.rows * a.cols) / a.cols * a.tile_height + line % a.slice_height;
  const int64_t column = a.origin_x + tile % a.cols * a.tile_width + pixel % a.slice_width;
  return ((canvas * a.canvas + row) * a.canvas + column) * args.channels + channel;
}

template <class From, class To>
SFR_DEVICE void stitch_elements(const StitchArgs& args, const From& x, const To& y) {
  const StitchGeometryAttributes& a = args.geometry;
  over_elements(args.volumes * a.canvases * a.canvas * a.canvas * args.channels, [&](int64_t i) {
    const int64_t from = slice_element(args, i);
    if (from < 0)
      y[i] = args.fill;
    else
      y[i] = x[from];
  });
}

template <class From, class To>
SFR_DEVICE void unstitch_elements(const StitchArgs& args, const From& x, const To& y) {
  const StitchGeometryAttributes& a = args.geometry;
  over_elements(args.volumes * a.slices * a.slice_height * a.slice_width * args.channels,
                [&](int64_t i) { y[i] = x[canvas_element(args, i)]; });
}

SFR_KERNEL(stitch_f32, StitchArgs) {
  stitch_elements(args, args.x, args.y);
}
SFR_KERNEL(stitch_u8, StitchArgs) {
  stitch_elements(args, static_cast<const uint8_t*>(args.x.data), static_cast<uint8_t*>(args.y.data));
}
SFR_KERNEL(unstitch_f32, StitchArgs) {
  unstitch_elements(args, args.x, args.y);
}
SFR_KERNEL(unstitch_u8, StitchArgs) {
  unstitch_elements(args, static_cast<const uint8_t*>(args.x.data), static_cast<uint8_t*>(args.y.data));
}

}  // namespace sfr::cuda
