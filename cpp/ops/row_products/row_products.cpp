#include "ops/row_products/row_products.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

/// The shape of one value per row.
Shape rows_of(const Shape& shape) {
  std::vector<int64_t> extents = shape.extents();
  extents.pop_back();
  return Shape(extents);
}

void expect_rows(InferContext& c, const char* name) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, name, DType::f32);
  const TensorType& x = c.input(0, name);
  c.expect(x.shape.rank() >= 1 && x.shape.back() >= 1, name, "at least one channel on the last axis",
           x.text());
}

void infer_dot(InferContext& c) {
  expect_rows(c, "a");
  c.expect_dtype(1, "b", DType::f32);
  c.expect_shape(1, "b", c.input(0, "a").shape);
  c.output({DType::f32, rows_of(c.input(0, "a").shape)});
}

void infer_scale(InferContext& c) {
  expect_rows(c, "x");
  c.expect_dtype(1, "factor", DType::f32);
  c.expect_shape(1, "factor", rows_of(c.input(0, "x").shape));
  c.output(c.input(0, "x"));
}

/// Calls body(first row, rows, channels) for chunks of the rows of input 0.
template <class F>
void for_rows(const KernelContext& c, F body) {
  const Shape& shape = c.inputs[0].type.shape;
  const int64_t channels = shape.back(), rows = shape.count() / channels;
  const int64_t chunks = chunk_count(rows, kElementGrain / channels + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    body(r.begin, r.end - r.begin, channels);
  });
}

void dot_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(dot_rows);
  for_rows(c, [&](int64_t row, int64_t rows, int64_t channels) {
    run(c.in<float>(0) + row * channels, c.in<float>(1) + row * channels, rows, channels,
        c.out<float>(0) + row);
  });
}

void scale_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(scale_rows);
  for_rows(c, [&](int64_t row, int64_t rows, int64_t channels) {
    run(c.in<float>(0) + row * channels, c.in<float>(1) + row, rows, channels,
        c.out<float>(0) + row * channels);
  });
}

RowProductArgs kernel_args(const KernelContext& c) {
  const Shape& shape = c.inputs[0].type.shape;
  return {c.in<float>(0), c.in<float>(1), c.out<float>(0), shape.count() / shape.back(), shape.back()};
}

void dot_cuda(const KernelContext& c) {
  const RowProductArgs args = kernel_args(c);
  launch(c, "dot_rows", element_grid(args.rows), args);
}

void scale_cuda(const KernelContext& c) {
  const RowProductArgs args = kernel_args(c);
  launch(c, "scale_rows", element_grid(args.rows * args.channels), args);
}

void gradient_dot(GradientContext& c) {
  for (size_t i = 0; i < 2; ++i)
    if (c.wants(i)) c.set(i, c.add("scale_rows", {c.input(1 - i), c.output_gradient(0)})[0]);
}

void gradient_scale(GradientContext& c) {
  if (c.wants(0)) c.set(0, c.add("scale_rows", {c.output_gradient(0), c.input(1)})[0]);
  if (c.wants(1)) c.set(1, c.add("dot_rows", {c.output_gradient(0), c.input(0)})[0]);
}

}  // namespace

void register_row_products(OpRegistry& registry) {
  OpDef dot = op_definition<NoAttributes>("dot_rows");
  dot.infer = &infer_dot;
  dot.gradient = &gradient_dot;
  dot.cpu = {{"rows", &dot_cpu}};
  dot.cuda = {{"thread_per_row", &dot_cuda}};
  registry.add(std::move(dot));

  OpDef scale = op_definition<NoAttributes>("scale_rows");
  scale.infer = &infer_scale;
  scale.gradient = &gradient_scale;
  scale.cpu = {{"rows", &scale_cpu}};
  scale.cuda = {{"elements", &scale_cuda}};
  scale.in_place_inputs = {0};
  registry.add(std::move(scale));
}

}  // namespace sfr
