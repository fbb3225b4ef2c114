#include "ops/stitch/stitch.h"

#include <cstring>

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void expect_image_dtype(const InferContext& c, const TensorType& x, const char* name) {
  c.expect(x.dtype == DType::f32 || x.dtype == DType::u8, name, "f32 or u8", x.text(), ErrorCode::dtype);
}

std::string pair(int64_t a, int64_t b) {
  return std::to_string(a) + ", " + std::to_string(b);
}

/// Throws unless every slice lies on its canvas and no two overlap.
void expect_layout(const InferContext& c, const StitchGeometryAttributes& a) {
  c.expect(a.canvas > 0 && a.canvases > 0, "canvas, canvases", "numbers > 0", pair(a.canvas, a.canvases));
  c.expect(a.rows > 0 && a.cols > 0, "rows, cols", "numbers > 0", pair(a.rows, a.cols));
  c.expect(a.slices > 0 && a.slice_height > 0 && a.slice_width > 0, "slices, sliceHeight, sliceWidth",
           "numbers > 0", std::to_string(a.slices) + ", " + pair(a.slice_height, a.slice_width));
  c.expect(a.front_slices >= 0 && a.front_slices + a.slices <= a.canvases * a.rows * a.cols, "slices",
           "at most " + std::to_string(a.canvases * a.rows * a.cols) + " with those in front",
           std::to_string(a.front_slices) + " + " + std::to_string(a.slices));
  c.expect(a.tile_height >= a.slice_height && a.tile_width >= a.slice_width, "tileHeight, tileWidth",
           "at least " + pair(a.slice_height, a.slice_width), pair(a.tile_height, a.tile_width));
  const int64_t bottom = a.origin_y + (a.rows - 1) * a.tile_height + a.slice_height;
  const int64_t right = a.origin_x + (a.cols - 1) * a.tile_width + a.slice_width;
  c.expect(a.origin_y >= 0 && a.origin_x >= 0 && bottom <= a.canvas && right <= a.canvas, "tiles",
           "rows and columns within 0.." + std::to_string(a.canvas),
           std::to_string(a.origin_y) + ".." + std::to_string(bottom) + " and " + std::to_string(a.origin_x) +
               ".." + std::to_string(right));
}

// ---- stitch

void infer_stitch(InferContext& c) {
  c.expect_inputs(1, 1);
  const TensorType& x = c.input(0, "x");
  expect_image_dtype(c, x, "x");
  const auto& a = c.attributes<StitchAttributes>();
  expect_layout(c, a);
  c.expect(x.dtype == DType::f32 || (a.fill >= 0 && a.fill <= 255), "fill", "0 to 255",
           std::to_string(a.fill));
  c.expect((x.shape.rank() == 4 || x.shape.rank() == 5) && x.shape[1] == a.slices &&
               x.shape[2] == a.slice_height && x.shape[3] == a.slice_width,
           "x",
           "[N, " + std::to_string(a.slices) + ", " + pair(a.slice_height, a.slice_width) + "] or [.., K]",
           x.text());
  c.expect(x.shape.back() > 0, "x", "at least one channel", x.text());
  std::vector<int64_t> shape = {x.shape[0] * a.canvases, a.canvas, a.canvas};
  if (x.shape.rank() == 5) shape.push_back(x.shape[4]);
  c.output({x.dtype, Shape(shape)});
}

/// One canvas row from left to right: gap, slice row, gap, ... `y_in_tile` counts from the slice's first row.
template <class T>
void stitch_row(const StitchAttributes& a, int64_t channels, const T* x, int64_t first_tile,
                int64_t y_in_tile, T* out) {
  const T fill = static_cast<T>(a.fill);
  const int64_t row = a.slice_width * channels;
  int64_t at = 0;
  for (int64_t col = 0; col < a.cols; ++col) {
    const int64_t z = first_tile + col - a.front_slices;
    if (z < 0 || z >= a.slices) continue;
    const int64_t begin = (a.origin_x + col * a.tile_width) * channels;
    std::fill(out + at, out + begin, fill);
    std::memcpy(out + begin, x + (z * a.slice_height + y_in_tile) * row,
                static_cast<size_t>(row) * sizeof(T));
    at = begin + row;
  }
  std::fill(out + at, out + a.canvas * channels, fill);
}

template <class T>
void stitch_typed(const KernelContext& c) {
  const auto& a = c.as<StitchAttributes>();
  const Shape& s = c.inputs[0].type.shape;
  const int64_t channels = s.rank() == 5 ? s[4] : 1, volume = s.count(1, s.rank());
  const int64_t lines = c.outputs[0].type.shape[0] * a.canvas, line = a.canvas * channels;
  const int64_t chunks = chunk_count(lines, kElementGrain / line + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(lines, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t canvas = i / a.canvas, y = i % a.canvas - a.origin_y;
      const int64_t tile_row = y < 0 ? a.rows : y / a.tile_height, y_in_tile = y % a.tile_height;
      T* out = c.out<T>(0) + i * line;
      if (tile_row >= a.rows || y_in_tile >= a.slice_height) {
        std::fill(out, out + line, static_cast<T>(a.fill));
        continue;
      }
      const T* x = c.in<T>(0) + canvas / a.canvases * volume;
      stitch_row(a, channels, x, (canvas % a.canvases * a.rows + tile_row) * a.cols, y_in_tile, out);
    }
  });
}

void stitch_cpu(const KernelContext& c) {
  if (c.inputs[0].type.dtype == DType::f32) return stitch_typed<float>(c);
  stitch_typed<uint8_t>(c);
}

void gradient_stitch(GradientContext& c) {
  const StitchGeometryAttributes& a = c.attributes<StitchAttributes>();
  c.set(0, c.add("unstitch", {c.output_gradient(0)}, a)[0]);
}

// ---- unstitch

void infer_unstitch(InferContext& c) {
  c.expect_inputs(1, 1);
  const TensorType& y = c.input(0, "canvas");
  expect_image_dtype(c, y, "canvas");
  const auto& a = c.attributes<StitchGeometryAttributes>();
  expect_layout(c, a);
  c.expect((y.shape.rank() == 3 || y.shape.rank() == 4) && y.shape[1] == a.canvas && y.shape[2] == a.canvas,
           "canvas", "[N, " + pair(a.canvas, a.canvas) + "] or [.., K]", y.text());
  c.expect(y.shape.back() > 0, "canvas", "at least one channel", y.text());
  c.expect(y.shape[0] % a.canvases == 0, "canvas",
           "a multiple of " + std::to_string(a.canvases) + " canvases", y.text());
  std::vector<int64_t> shape = {y.shape[0] / a.canvases, a.slices, a.slice_height, a.slice_width};
  if (y.shape.rank() == 4) shape.push_back(y.shape[3]);
  c.output({y.dtype, Shape(shape)});
}

void unstitch_cpu(const KernelContext& c) {
  const auto& a = c.as<StitchGeometryAttributes>();
  const TensorType& y = c.inputs[0].type;
  const int64_t pixel = (y.shape.rank() == 4 ? y.shape[3] : 1) * static_cast<int64_t>(dtype_bytes(y.dtype));
  const int64_t row = a.slice_width * pixel, line = a.canvas * pixel, tiles = a.rows * a.cols;
  const int64_t count = c.outputs[0].type.shape[0] * a.slices * a.slice_height;
  const int64_t chunks = chunk_count(count, 4 * kElementGrain / row + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t slice = i / a.slice_height, volume = slice / a.slices;
      const int64_t tile = slice % a.slices + a.front_slices;
      const int64_t canvas = volume * a.canvases + tile / tiles;
      const int64_t top = a.origin_y + tile % tiles / a.cols * a.tile_height + i % a.slice_height;
      const int64_t left = a.origin_x + tile % a.cols * a.tile_width;
      std::memcpy(c.out<std::byte>(0) + i * row,
                  c.in<std::byte>(0) + (canvas * a.canvas + top) * line + left * pixel,
                  static_cast<size_t>(row));
    }
  });
}

void gradient_unstitch(GradientContext& c) {
  StitchAttributes a;
  static_cast<StitchGeometryAttributes&>(a) = c.attributes<StitchGeometryAttributes>();
  c.set(0, c.add("stitch", {c.output_gradient(0)}, a)[0]);
}

}  // namespace

void register_stitch(OpRegistry& registry) {
  OpDef stitch = op_definition<StitchAttributes>("stitch");
  stitch.infer = &infer_stitch;
  stitch.gradient = &gradient_stitch;
  stitch.cpu = {{"copy_rows", &stitch_cpu}};
  registry.add(std::move(stitch));

  OpDef unstitch = op_definition<StitchGeometryAttributes>("unstitch");
  unstitch.infer = &infer_unstitch;
  unstitch.gradient = &gradient_unstitch;
  unstitch.cpu = {{"copy_rows", &unstitch_cpu}};
  registry.add(std::move(unstitch));
}

}  // namespace sfr
