#include "ops/stitch/stitch.h"

#include <algorithm>
#include <cstring>

#include "core/chunks.h"
#include "device/launch.h"
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

// ---- what both kernels share: canvases are walked line by line, each with a row of several slices

/// The slices on one canvas line: neighbouring tiles.
struct CanvasLine {
  int64_t count = 0;      // of slices
  int64_t column = 0;     // first pixel of the first one
  int64_t slice_row = 0;  // its row, counted through all slices of all volumes
};

/// Line `line` of all canvases.
CanvasLine canvas_line(const StitchGeometryAttributes& a, int64_t line) {
  const int64_t canvas = line / a.canvas, y = line % a.canvas - a.origin_y;
  if (y < 0 || y / a.tile_height >= a.rows || y % a.tile_height >= a.slice_height) return {};
  const int64_t first = (canvas % a.canvases * a.rows + y / a.tile_height) * a.cols - a.front_slices;
  const int64_t begin = std::max<int64_t>(0, -first), end = std::min(a.cols, a.slices - first);
  const int64_t slice = canvas / a.canvases * a.slices + first + begin;
  return {end - begin, a.origin_x + begin * a.tile_width, slice * a.slice_height + y % a.tile_height};
}

/// Bytes of what a kernel moves.
struct Sizes {
  int64_t pixel, row, slice, tile, line;
};

Sizes sizes_of(const StitchGeometryAttributes& a, int64_t pixel) {
  const int64_t row = a.slice_width * pixel;
  return {pixel, row, a.slice_height * row, a.tile_width * pixel, a.canvas * pixel};
}

int64_t line_chunks(int64_t lines, const Sizes& s) {
  return chunk_count(lines, 4 * kElementGrain / s.line + 1);
}

/// Rows of a slice that are asked for ahead of their turn: a canvas line or two of time.
constexpr int64_t kRowsAhead = 2;

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

uint32_t fill_pattern(DType dtype, double fill) {
  if (dtype == DType::u8) return 0x01010101u * static_cast<uint8_t>(fill);
  const float value = static_cast<float>(fill);
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

void stitch_cpu(const KernelContext& c) {
  const auto& a = c.as<StitchAttributes>();
  const TensorType& x = c.inputs[0].type;
  const int64_t channels = x.shape.rank() == 5 ? x.shape[4] : 1;
  const Sizes s = sizes_of(a, channels * static_cast<int64_t>(dtype_bytes(x.dtype)));
  const uint32_t pattern = fill_pattern(x.dtype, a.fill);
  const int64_t lines = c.outputs[0].type.shape[0] * a.canvas, chunks = line_chunks(lines, s);
  const auto fill = SFR_DISPATCH(fill_line);
  const auto copy = SFR_DISPATCH(copy_pieces);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(lines, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const CanvasLine l = canvas_line(a, i);
      char* line = c.out<char>(0) + i * s.line;
      fill(line, s.line, pattern);
      copy({line + l.column * s.pixel, c.in<char>(0) + l.slice_row * s.row, l.count, s.row, s.tile, s.slice,
            0, kRowsAhead * s.row});
    }
  });
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
  const int64_t channels = y.shape.rank() == 4 ? y.shape[3] : 1;
  const Sizes s = sizes_of(a, channels * static_cast<int64_t>(dtype_bytes(y.dtype)));
  const int64_t lines = y.shape[0] * a.canvas, chunks = line_chunks(lines, s);
  const auto copy = SFR_DISPATCH(copy_pieces);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(lines, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const CanvasLine l = canvas_line(a, i);
      copy({c.out<char>(0) + l.slice_row * s.row, c.in<char>(0) + i * s.line + l.column * s.pixel, l.count,
            s.row, s.slice, s.tile, kRowsAhead * s.row, 0});
    }
  });
}

void gradient_unstitch(GradientContext& c) {
  StitchAttributes a;
  static_cast<StitchGeometryAttributes&>(a) = c.attributes<StitchGeometryAttributes>();
  c.set(0, c.add("stitch", {c.output_gradient(0)}, a)[0]);
}

void stitch_cuda(const KernelContext& c) {
  const auto& a = c.as<StitchAttributes>();
  const TensorType& x = c.inputs[0].type;
  launch(c, x.dtype == DType::u8 ? "stitch_u8" : "stitch_f32", element_grid(c.outputs[0].count()),
         StitchArgs{a, elements_of(c, 0), results_of(c, 0), x.shape[0], x.shape.rank() == 5 ? x.shape[4] : 1,
                    static_cast<float>(a.fill)});
}

void unstitch_cuda(const KernelContext& c) {
  const TensorType& x = c.outputs[0].type;
  launch(c, x.dtype == DType::u8 ? "unstitch_u8" : "unstitch_f32", element_grid(c.outputs[0].count()),
         StitchArgs{c.as<StitchGeometryAttributes>(), elements_of(c, 0), results_of(c, 0), x.shape[0],
                    x.shape.rank() == 5 ? x.shape[4] : 1, 0});
}

}  // namespace

void register_stitch(OpRegistry& registry) {
  OpDef stitch = op_definition<StitchAttributes>("stitch");
  stitch.infer = &infer_stitch;
  stitch.gradient = &gradient_stitch;
  stitch.cpu = {{"copy_rows", &stitch_cpu}};
  stitch.cuda = {{"elements", &stitch_cuda}};
  stitch.bf16_inputs = stitch.bf16_outputs = kFirst;
  registry.add(std::move(stitch));

  OpDef unstitch = op_definition<StitchGeometryAttributes>("unstitch");
  unstitch.infer = &infer_unstitch;
  unstitch.gradient = &gradient_unstitch;
  unstitch.cpu = {{"copy_rows", &unstitch_cpu}};
  unstitch.cuda = {{"elements", &unstitch_cuda}};
  unstitch.bf16_inputs = unstitch.bf16_outputs = kFirst;
  registry.add(std::move(unstitch));
}

}  // namespace sfr
