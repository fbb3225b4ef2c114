#include "ops/softmax/softmax.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  const TensorType& x = c.input(0, "x");
  c.expect(x.shape.rank() >= 1 && x.shape.back() >= 1, "x", "at least one channel on the last axis",
           x.text());
  c.output(x);
}

void infer_backward(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "y", DType::f32);
  c.expect_dtype(1, "dy", DType::f32);
  c.expect_shape(1, "dy", c.input(0, "y").shape);
  c.output(c.input(0, "y"));
}

/// Calls body(first row, rows) for chunks of the rows of input 0.
template <class F>
void for_rows(const KernelContext& c, F body) {
  const Shape& shape = c.inputs[0].type.shape;
  const int64_t rows = shape.count() / shape.back(),
                chunks = chunk_count(rows, kElementGrain / shape.back() + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    body(r.begin * shape.back(), r.end - r.begin);
  });
}

void softmax_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(softmax_rows);
  const int64_t channels = c.inputs[0].type.shape.back();
  for_rows(c,
           [&](int64_t at, int64_t rows) { run(c.in<float>(0) + at, rows, channels, c.out<float>(0) + at); });
}

void backward_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(softmax_backward_rows);
  const int64_t channels = c.inputs[0].type.shape.back();
  for_rows(c, [&](int64_t at, int64_t rows) {
    run(c.in<float>(0) + at, c.in<float>(1) + at, rows, channels, c.out<float>(0) + at);
  });
}

/// One warp per row.
void launch_rows(const KernelContext& c, const char* kernel) {
  const Shape& shape = c.inputs[0].type.shape;
  const int64_t rows = shape.count() / shape.back();
  launch(c, kernel, element_grid(32 * rows),
         SoftmaxArgs{elements_of(c, 0), c.in<float>(1), c.out<float>(0), rows, shape.back()});
}

void softmax_cuda(const KernelContext& c) {
  launch_rows(c, "softmax_rows");
}

void backward_cuda(const KernelContext& c) {
  launch_rows(c, "softmax_backward_rows");
}

void gradient(GradientContext& c) {
  c.set(0, c.add("softmax_backward", {c.output(0), c.output_gradient(0)})[0]);
}

}  // namespace

void register_softmax(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("softmax");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"rows", &softmax_cpu}};
  op.cuda = {{"warp_per_row", &softmax_cuda}};
  op.bf16_inputs = kFirst;
  op.in_place_inputs = {0};
  registry.add(std::move(op));

  OpDef backward = op_definition<NoAttributes>("softmax_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"rows", &backward_cpu}};
  backward.cuda = {{"warp_per_row", &backward_cuda}};
  backward.in_place_inputs = {1};
  registry.add(std::move(backward));
}

}  // namespace sfr
