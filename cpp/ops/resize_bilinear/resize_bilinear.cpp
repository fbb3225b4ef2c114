#include "ops/resize_bilinear/resize_bilinear.h"

#include <algorithm>
#include <cstring>

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

Resize resize_of(const Shape& input, const Shape& output) {
  return {input[0], input[1], input[2], output[1], output[2], input[3]};
}

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_rank(0, "x", 4);
  const Shape& x = c.input(0, "x").shape;
  const auto& size = c.attributes<ResizeAttributes>().size;
  c.expect(x[1] >= 1 && x[2] >= 1, "x", "at least one row and column", x.text());
  c.expect(size[0] >= 1 && size[1] >= 1, "size", "[rows, columns] of at least 1",
           "[" + std::to_string(size[0]) + ", " + std::to_string(size[1]) + "]", ErrorCode::usage);
  c.output({DType::f32, Shape{x[0], size[0], size[1], x[3]}});
}

size_t tap_bytes(const Resize& r) {
  return (static_cast<size_t>(r.output_rows + r.output_columns) * sizeof(ResizeTap) + 63) / 64 * 64;
}

/// Taps of rows, then of columns, then one row of floats per thread.
struct Work {
  ResizeTap *rows, *columns;
  float* row(int thread, int64_t floats) const { return first_row + thread * floats; }
  float* first_row;
};

Work work_of(const KernelContext& c, const Resize& r) {
  Work w;
  w.rows = static_cast<ResizeTap*>(c.work);
  w.columns = w.rows + r.output_rows;
  w.first_row = reinterpret_cast<float*>(static_cast<char*>(c.work) + tap_bytes(r));
  fill_resize_taps(r.input_rows, r.output_rows, w.rows);
  fill_resize_taps(r.input_columns, r.output_columns, w.columns);
  return w;
}

size_t work_bytes(const NodeTypes& t, int threads) {
  const Resize r = resize_of(t.input(0).shape, t.outputs[0].shape);
  return tap_bytes(r) + static_cast<size_t>(threads * r.input_columns * r.channels) * sizeof(float);
}

size_t backward_work_bytes(const NodeTypes& t, int threads) {
  const Resize r = resize_of(t.outputs[0].shape, t.input(0).shape);
  return tap_bytes(r) + static_cast<size_t>(threads * r.output_columns * r.channels) * sizeof(float);
}

void resize_cpu(const KernelContext& c) {
  const auto rows = SFR_DISPATCH(blend_rows);
  const auto columns = SFR_DISPATCH(blend_columns);
  const Resize s = resize_of(c.inputs[0].type.shape, c.outputs[0].type.shape);
  const Work work = work_of(c, s);
  const int64_t input_row = s.input_columns * s.channels, output_row = s.output_columns * s.channels;
  const int64_t count = s.batch * s.output_rows, chunks = chunk_count(count, kElementGrain / output_row + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(count, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const ResizeTap& tap = work.rows[i % s.output_rows];
      const float* image = c.in<float>(0) + i / s.output_rows * s.input_rows * input_row;
      float* y = c.out<float>(0) + i * output_row;
      float* row = s.input_columns == s.output_columns ? y : work.row(thread, input_row);
      rows(image + tap.low * input_row, image + tap.high * input_row, tap.weight, input_row, row);
      if (row != y) columns(row, work.columns, s.output_columns, s.channels, y);
    }
  });
}

void backward_cpu(const KernelContext& c) {
  const auto add = SFR_DISPATCH(add_scaled_row);
  const auto gather = SFR_DISPATCH(gather_columns);
  const Resize s = resize_of(c.outputs[0].type.shape, c.inputs[0].type.shape);
  const Work work = work_of(c, s);
  const int64_t input_row = s.input_columns * s.channels, output_row = s.output_columns * s.channels;
  const int64_t count = s.batch * s.input_rows, chunks = chunk_count(count, kElementGrain / input_row + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(count, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const auto input = static_cast<int32_t>(i % s.input_rows);
      float* dx = c.out<float>(0) + i * input_row;
      float* row = s.input_columns == s.output_columns ? dx : work.row(thread, output_row);
      std::memset(row, 0, static_cast<size_t>(output_row) * sizeof(float));
      // Taps rise with the output row: those that read `input` are neighbours.
      const ResizeTap* tap = std::lower_bound(
          work.rows, work.columns, input, [](const ResizeTap& t, int32_t value) { return t.high < value; });
      for (; tap != work.columns && tap->low <= input; ++tap) {
        const float* dy =
            c.in<float>(0) + (i / s.input_rows * s.output_rows + (tap - work.rows)) * output_row;
        const float weight =
            (tap->low == input ? 1.0f - tap->weight : 0.0f) + (tap->high == input ? tap->weight : 0.0f);
        add(dy, weight, output_row, row);
      }
      if (row != dx) gather(row, work.columns, s.output_columns, s.input_columns, s.channels, dx);
    }
  });
}

void resize_cuda(const KernelContext& c) {
  const Resize sizes = resize_of(c.inputs[0].type.shape, c.outputs[0].type.shape);
  launch_resize(c, {sizes, elements_of(c, 0), results_of(c, 0)});
}

void backward_cuda(const KernelContext& c) {
  const Resize sizes = resize_of(c.outputs[0].type.shape, c.inputs[0].type.shape);
  launch_resize_backward(c, {sizes, elements_of(c, 0), results_of(c, 0)});
}

void gradient(GradientContext& c) {
  const Shape& x = c.type(c.input(0)).shape;
  c.set(0, c.add("resize_bilinear_backward", {c.output_gradient(0)}, ResizeAttributes{{x[1], x[2]}})[0]);
}

}  // namespace

void fill_resize_taps(int64_t inputs, int64_t outputs, ResizeTap* taps) {
  for (int64_t i = 0; i < outputs; ++i) taps[i] = resize_tap(inputs, outputs, i);
}

void launch_resize(const KernelContext& c, const ResizeArgs& args) {
  const Resize& s = args.sizes;
  launch(c, "resize_forward", element_grid(s.batch * s.output_rows * s.output_columns * s.channels), args);
}

void launch_resize_backward(const KernelContext& c, const ResizeArgs& args) {
  const Resize& s = args.sizes;
  launch(c, "resize_backward", element_grid(s.batch * s.input_rows * s.input_columns * s.channels), args);
}

void register_resize_bilinear(OpRegistry& registry) {
  OpDef op = op_definition<ResizeAttributes>("resize_bilinear");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"rows_then_columns", &resize_cpu}};
  op.cuda = {{"elements", &resize_cuda}};
  op.bf16_inputs = op.bf16_outputs = kFirst;
  op.work_bytes = &work_bytes;
  registry.add(std::move(op));

  OpDef backward = op_definition<ResizeAttributes>("resize_bilinear_backward");
  backward.infer = &infer;
  backward.cpu = {{"gather", &backward_cpu}};
  backward.cuda = {{"gather", &backward_cuda}};
  backward.bf16_inputs = backward.bf16_outputs = kFirst;
  backward.work_bytes = &backward_work_bytes;
  registry.add(std::move(backward));
}

}  // namespace sfr
