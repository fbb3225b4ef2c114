#include "ops/layer_norm/layer_norm.h"

#include "core/chunks.h"
#include "cuda/column_grid.h"
#include "graph/graph.h"

namespace sfr {

namespace {

Shape rows_of(const Shape& x) {
  std::vector<int64_t> rows = x.extents();
  rows.pop_back();
  return Shape(rows);
}

int64_t row_chunks(const Shape& x) {
  return chunk_count(x.count() / x.back(), kElementGrain / x.back() + 1);
}

void expect_rows(InferContext& c) {
  c.expect_dtype(0, "x", DType::f32);
  const Shape& x = c.input(0, "x").shape;
  c.expect(x.rank() >= 1 && x.back() >= 1, "x", "at least one channel on the last axis", x.text());
  c.expect_dtype(1, "weight", DType::f32);
  c.expect_shape(1, "weight", Shape{x.back()});
}

void infer(InferContext& c) {
  c.expect_inputs(3, 3);
  expect_rows(c);
  const TensorType x = c.input(0, "x");
  c.expect_dtype(2, "bias", DType::f32);
  c.expect_shape(2, "bias", Shape{x.shape.back()});
  const double epsilon = c.attributes<LayerNormAttributes>().epsilon;
  c.expect(epsilon > 0, "epsilon", "a number above 0", std::to_string(epsilon), ErrorCode::usage);
  c.output(x);
  c.output({DType::f32, rows_of(x.shape)});
  c.output({DType::f32, rows_of(x.shape)});
}

void norm_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(layer_norm_rows);
  const Shape& x = c.inputs[0].type.shape;
  const auto epsilon = static_cast<float>(c.as<LayerNormAttributes>().epsilon);
  const int64_t chunks = row_chunks(x), channels = x.back(), rows = x.count() / channels;
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    run(c.in<float>(0) + r.begin * channels, c.in<float>(1), c.in<float>(2), epsilon, r.end - r.begin,
        channels, c.out<float>(0) + r.begin * channels, c.out<float>(1) + r.begin, c.out<float>(2) + r.begin);
  });
}

void gradient(GradientContext& c) {
  const bool parameters = c.wants(1) || c.wants(2);
  const std::vector<ValueId> d = c.add("layer_norm_backward",
                                       {c.input(0), c.input(1), c.output(1), c.output(2),
                                        c.output_gradient(0), c.output_gradient(1), c.output_gradient(2)},
                                       LayerNormBackwardAttributes{parameters});
  if (c.wants(0)) c.set(0, d[0]);
  if (c.wants(1)) c.set(1, d[1]);
  if (c.wants(2)) c.set(2, d[2]);
}

void infer_backward(InferContext& c) {
  c.expect_inputs(5, 7);
  expect_rows(c);
  const TensorType x = c.input(0, "x");
  const Shape rows = rows_of(x.shape);
  c.expect_shape(2, "mean", rows);
  c.expect_shape(3, "rstd", rows);
  if (c.has(4)) c.expect_shape(4, "dy", x.shape);
  if (c.has(5)) c.expect_shape(5, "dmean", rows);
  if (c.has(6)) c.expect_shape(6, "drstd", rows);
  c.output(x);
  if (!c.attributes<LayerNormBackwardAttributes>().parameters) return;
  c.output({DType::f32, Shape{x.shape.back()}});
  c.output({DType::f32, Shape{x.shape.back()}});
}

/// Per chunk: the sums [2][C] in double and the strip [2][C] in f32.
size_t backward_work_bytes(const NodeTypes& t, int) {
  if (!t.as<LayerNormBackwardAttributes>().parameters) return 0;
  const Shape& x = t.input(0).shape;
  return static_cast<size_t>(row_chunks(x) * 2 * x.back()) * (sizeof(double) + sizeof(float));
}

void backward_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(layer_norm_backward_rows);
  const auto add_sums = SFR_DISPATCH(layer_norm_parameter_sums);
  const Shape& x = c.inputs[0].type.shape;
  const bool parameters = c.as<LayerNormBackwardAttributes>().parameters;
  const int64_t chunks = row_chunks(x), channels = x.back(), rows = x.count() / channels;
  auto* sums = static_cast<double*>(c.work);
  auto* strips = reinterpret_cast<float*>(sums + chunks * 2 * channels);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    const auto at = [&](size_t i, int64_t offset) { return c.has(i) ? c.in<float>(i) + offset : nullptr; };
    const LayerNormRows job = {c.in<float>(0) + r.begin * channels,
                               c.in<float>(1),
                               c.in<float>(2) + r.begin,
                               c.in<float>(3) + r.begin,
                               at(4, r.begin * channels),
                               at(5, r.begin),
                               at(6, r.begin),
                               c.out<float>(0) + r.begin * channels,
                               r.end - r.begin,
                               channels};
    double* mine = sums + chunk * 2 * channels;
    if (parameters) std::fill(mine, mine + 2 * channels, 0.0);
    if (parameters && job.dy) add_sums(job, mine, strips + chunk * 2 * channels);
    run(job);
  });
  for (int64_t i = 0; parameters && i < 2 * channels; ++i) {
    double total = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) total += sums[chunk * 2 * channels + i];
    c.out<float>(i < channels ? 1 : 2)[i % channels] = static_cast<float>(total);
  }
}

LayerNormArgs kernel_args(const KernelContext& c) {
  const Shape& x = c.inputs[0].type.shape;
  LayerNormArgs args{};
  args.channels = x.back(), args.rows = x.count() / x.back();
  args.x = elements_of(c, 0), args.weight = c.in<float>(1);
  args.y = results_of(c, 0);
  return args;
}

/// A warp per row.
Grid row_grid(const LayerNormArgs& args) {
  return element_grid(args.rows * 32);
}

void norm_cuda(const KernelContext& c) {
  LayerNormArgs args = kernel_args(c);
  args.bias = c.in<float>(2), args.mean_out = c.out<float>(1), args.rstd_out = c.out<float>(2);
  args.epsilon = static_cast<float>(c.as<LayerNormAttributes>().epsilon);
  launch(c, "layer_norm", row_grid(args), args);
}

size_t backward_cuda_work_bytes(const NodeTypes& t) {
  const Shape& x = t.input(0).shape;
  return column_sums_bytes(column_sums_of(x.count() / x.back(), x.back(), 2, nullptr));
}

void backward_cuda(const KernelContext& c) {
  LayerNormArgs args = kernel_args(c);
  args.mean = c.in<float>(2), args.rstd = c.in<float>(3);
  args.dy = elements_of(c, 4), args.dmean = c.in<float>(5), args.drstd = c.in<float>(6);
  launch(c, "layer_norm_backward", row_grid(args), args);
  if (!c.as<LayerNormBackwardAttributes>().parameters) return;
  args.dweight = c.out<float>(1), args.dbias = c.out<float>(2);
  args.sums = column_sums_of(args.rows, args.channels, 2, c.work);
  launch(c, "layer_norm_parameter_sums", column_grid(args.sums), args);
  launch(c, "layer_norm_parameters", element_grid(args.channels), args);
}

}  // namespace

void register_layer_norm(OpRegistry& registry) {
  OpDef op = op_definition<LayerNormAttributes>("layer_norm");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"rows", &norm_cpu}};
  op.cuda = {{"warps", &norm_cuda}};
  op.bf16_inputs = op.bf16_outputs = kFirst;
  op.repeat = Repeat::always;
  registry.add(std::move(op));

  OpDef backward = op_definition<LayerNormBackwardAttributes>("layer_norm_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"rows", &backward_cpu}};
  backward.cuda = {{"warps", &backward_cuda}};
  backward.bf16_inputs = kFirst | nth(4), backward.bf16_outputs = kFirst;
  backward.cuda_work_bytes = &backward_cuda_work_bytes;
  backward.work_bytes = &backward_work_bytes;
  registry.add(std::move(backward));
}

}  // namespace sfr
