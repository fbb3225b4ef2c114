#include "ops/mean_squared_error/mean_squared_error.h"

#include "core/chunks.h"
#include "cuda/column_grid.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void expect_pair(InferContext& c) {
  c.expect_dtype(0, "a", DType::f32);
  c.expect_dtype(1, "b", DType::f32);
  c.expect_shape(1, "b", c.input(0, "a").shape);
}

void infer(InferContext& c) {
  c.expect_inputs(2, 2);
  expect_pair(c);
  c.output({DType::f32, Shape{}});
}

void infer_backward(InferContext& c) {
  c.expect_inputs(3, 3);
  expect_pair(c);
  c.expect_shape(2, "dy", Shape{});
  c.output(c.input(0, "a"));
}

size_t work_bytes(const NodeTypes& t, int) {
  return static_cast<size_t>(chunk_count(t.input(0).shape.count(), kElementGrain)) * sizeof(double);
}

void error_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(squared_error_row);
  const int64_t count = c.inputs[0].count(), chunks = chunk_count(count, kElementGrain);
  auto* partial = static_cast<double*>(c.work);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    partial[chunk] = row(c.in<float>(0) + r.begin, c.in<float>(1) + r.begin, r.end - r.begin);
  });
  double total = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) total += partial[chunk];
  c.out<float>(0)[0] = count > 0 ? static_cast<float>(total / static_cast<double>(count)) : 0.0f;
}

void backward_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(squared_error_backward_row);
  const double count = static_cast<double>(std::max<int64_t>(c.inputs[0].count(), 1));
  const auto factor = static_cast<float>(2.0 * c.in<float>(2)[0] / count);
  over_elements(c, [&](int64_t i, int64_t n) {
    row(c.in<float>(0) + i, c.in<float>(1) + i, factor, c.out<float>(0) + i, n);
  });
}

SquaredErrorArgs kernel_args(const KernelContext& c) {
  const int64_t count = c.inputs[0].count();
  return {elements_of(c, 0),
          elements_of(c, 1),
          c.in<float>(2),
          results_of(c, 0),
          count,
          column_sums_of(count, 1, 1, c.work)};
}

void error_cuda(const KernelContext& c) {
  const SquaredErrorArgs args = kernel_args(c);
  launch(c, "squared_error_chunks", column_grid(args.sums), args);
  launch(c, "finish_squared_error", {}, args);
}

void backward_cuda(const KernelContext& c) {
  launch(c, "squared_error_backward", element_grid(c.inputs[0].count()), kernel_args(c));
}

size_t cuda_work_bytes(const NodeTypes& t) {
  return column_sums_bytes(column_sums_of(t.input(0).shape.count(), 1, 1, nullptr));
}

void gradient(GradientContext& c) {
  for (size_t i = 0; i < 2; ++i)
    if (c.wants(i))
      c.set(i, c.add("mean_squared_error_backward", {c.input(i), c.input(1 - i), c.output_gradient(0)})[0]);
}

}  // namespace

void register_mean_squared_error(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("mean_squared_error");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"chunked_double", &error_cpu}};
  op.work_bytes = &work_bytes;
  op.cuda = {{"chunked_double", &error_cuda}};
  op.bf16_inputs = kFirst | kSecond;
  op.cuda_work_bytes = &cuda_work_bytes;
  registry.add(std::move(op));

  OpDef backward = op_definition<NoAttributes>("mean_squared_error_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"rows", &backward_cpu}};
  backward.cuda = {{"elements", &backward_cuda}};
  backward.bf16_inputs = kFirst | kSecond, backward.bf16_outputs = kFirst;
  backward.in_place_inputs = {0};
  registry.add(std::move(backward));
}

}  // namespace sfr
