#include "ops/max_pool3d/max_pool3d.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

Shape pooled(const Shape& x) {
  return {x[0], x[1] / 2, x[2] / 2, x[3] / 2, x[4]};
}

void expect_volume(const InferContext& c, size_t i) {
  c.expect_dtype(i, "x", DType::f32);
  c.expect_rank(i, "x", 5);
  const Shape& x = c.input(i, "x").shape;
  c.expect(x[1] % 2 == 0 && x[2] % 2 == 0 && x[3] % 2 == 0, "x", "an even depth, height and width", x.text());
}

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  expect_volume(c, 0);
  c.output({DType::f32, pooled(c.input(0, "x").shape)});
}

void infer_backward(InferContext& c) {
  c.expect_inputs(2, 2);
  expect_volume(c, 1);
  c.expect_dtype(0, "dy", DType::f32);
  c.expect_shape(0, "dy", pooled(c.input(1, "x").shape));
  c.output(c.input(1, "x"));
}

/// Calls run(rows under an output row, offset of that row, offsets of the four rows) for every row of
/// outputs.
template <class F>
void each_row(ThreadPool& pool, const float* x, const Shape& shape, F run) {
  const int64_t channels = shape[4], width = shape[3] * channels, depth = shape[1] / 2, height = shape[2] / 2;
  const int64_t rows = shape[0] * depth * height;
  const int64_t chunks = chunk_count(rows, kElementGrain / (4 * width) + 1);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t first = (2 * (i / height) * shape[2] + 2 * (i % height)) * width;
      const int64_t below = first + shape[2] * width;
      const int64_t at[4] = {first, first + width, below, below + width};
      run(MaxPoolRow{{x + at[0], x + at[1], x + at[2], x + at[3]}, shape[3] / 2, channels}, i * width / 2,
          at);
    }
  });
}

void max_pool_cpu(const KernelContext& c) {
  const auto pool_row = SFR_DISPATCH(max_pool_row);
  float* y = c.out<float>(0);
  each_row(*c.pool, c.in<float>(0), c.inputs[0].type.shape,
           [&](const MaxPoolRow& row, int64_t out, const int64_t*) { pool_row(row, y + out); });
}

void max_pool_backward_cpu(const KernelContext& c) {
  const auto gradient_row = SFR_DISPATCH(max_pool_gradient_row);
  const float* dy = c.in<float>(0);
  float* dx = c.out<float>(0);
  each_row(*c.pool, c.in<float>(1), c.inputs[1].type.shape,
           [&](const MaxPoolRow& row, int64_t out, const int64_t* at) {
             float* const to[4] = {dx + at[0], dx + at[1], dx + at[2], dx + at[3]};
             gradient_row(row, dy + out, to);
           });
}

void max_pool_cuda(const KernelContext& c) {
  const Shape& y = c.outputs[0].type.shape;
  launch(c, "max_pool", element_grid(y.count()),
         MaxPoolArgs{elements_of(c, 0), {}, results_of(c, 0), y.count(), y[2], y[3], y[4]});
}

void max_pool_backward_cuda(const KernelContext& c) {
  const Shape& dy = c.inputs[0].type.shape;
  launch(
      c, "max_pool_gradient", element_grid(dy.count()),
      MaxPoolArgs{elements_of(c, 1), elements_of(c, 0), results_of(c, 0), dy.count(), dy[2], dy[3], dy[4]});
}

void gradient(GradientContext& c) {
  c.set(0, c.add("max_pool3d_backward", {c.output_gradient(0), c.input(0)})[0]);
}

}  // namespace

void register_max_pool3d(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("max_pool3d");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"rows", &max_pool_cpu}};
  op.cuda = {{"thread_per_block", &max_pool_cuda}};
  op.bf16_inputs = op.bf16_outputs = kFirst;
  op.repeat = Repeat::always;
  registry.add(std::move(op));

  OpDef backward = op_definition<NoAttributes>("max_pool3d_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"rows", &max_pool_backward_cpu}};
  backward.cuda = {{"thread_per_block", &max_pool_backward_cuda}};
  backward.bf16_inputs = kFirst | kSecond, backward.bf16_outputs = kFirst;
  registry.add(std::move(backward));
}

}  // namespace sfr
