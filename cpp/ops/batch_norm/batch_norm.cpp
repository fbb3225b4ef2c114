#include "ops/batch_norm/batch_norm.h"

#include <algorithm>

#include "device/launch.h"
#include "graph/graph.h"
#include "ops/batch_norm/normalise.h"

namespace sfr {

namespace {

/// Checks that inputs [first, first + names) are f32 [C].
void expect_channels(InferContext& c, size_t first, std::initializer_list<const char*> names,
                     int64_t channels) {
  for (const char* name : names) {
    c.expect_dtype(first, name, DType::f32);
    c.expect_shape(first++, name, Shape{channels});
  }
}

void expect_volume(InferContext& c, size_t i) {
  c.expect_dtype(i, "x", DType::f32);
  const TensorType& x = c.input(i, "x");
  c.expect(x.shape.rank() >= 1 && x.shape.count() > 0, "x", "at least one axis and one element per channel",
           x.text());
  const double epsilon = c.attributes<BatchNormAttributes>().epsilon;
  c.expect(epsilon >= 0, "epsilon", "a number >= 0", std::to_string(epsilon), ErrorCode::usage);
}

void infer(InferContext& c) {
  c.expect_inputs(5, 6);
  expect_volume(c, 0);
  const TensorType& x = c.input(0, "x");
  expect_channels(c, 1, {"weight", "bias"}, x.shape.back());
  if (!c.attributes<BatchNormAttributes>().training)
    expect_channels(c, 3, {"running_mean", "running_variance"}, x.shape.back());
  if (c.has(kBatchNormSkip)) {
    c.expect_dtype(kBatchNormSkip, "skip", DType::f32);
    c.expect_shape(kBatchNormSkip, "skip", x.shape);
  }
  c.output(x);
  for (int i = 0; i < 2; ++i) c.output({DType::f32, Shape{x.shape.back()}});
}

void infer_backward(InferContext& c) {
  c.expect_inputs(6, 8);
  expect_volume(c, 1);
  const TensorType& x = c.input(1, "x");
  c.expect_dtype(0, "dy", DType::f32);
  c.expect_shape(0, "dy", x.shape);
  expect_channels(c, 2, {"weight", "bias", "mean", "variance"}, x.shape.back());
  if (c.has(6)) expect_channels(c, 6, {"dmean"}, x.shape.back());
  if (c.has(7)) expect_channels(c, 7, {"dvariance"}, x.shape.back());
  c.output(x);
  for (int i = 0; i < 2; ++i) c.output({DType::f32, Shape{x.shape.back()}});
}

void infer_statistics(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  const TensorType& x = c.input(0, "x");
  c.expect(x.shape.rank() >= 1 && x.shape.count() > 0, "x", "at least one axis and one element per channel",
           x.text());
  for (int i = 0; i < 2; ++i) c.output({DType::f32, Shape{x.shape.back()}});
}

void infer_table(InferContext& c) {
  c.expect_inputs(4, 4);
  c.expect_rank(0, "weight", 1);
  const int64_t channels = c.input(0, "weight").shape[0];
  expect_channels(c, 0, {"weight", "bias", "mean", "variance"}, channels);
  c.output({DType::f32, Shape{3, channels}});
}

void infer_update(InferContext& c) {
  c.expect_inputs(4, 4);
  c.expect_rank(0, "running_mean", 1);
  expect_channels(c, 0, {"running_mean", "running_variance", "mean", "variance"},
                  c.input(0, "running_mean").shape[0]);
  const auto& a = c.attributes<BatchNormUpdateAttributes>();
  c.expect(a.count >= 1, "count", "the number of elements per channel", std::to_string(a.count),
           ErrorCode::usage);
  c.expect(a.momentum >= 0 && a.momentum <= 1, "momentum", "a number in [0, 1]", std::to_string(a.momentum),
           ErrorCode::usage);
}

void gradient(GradientContext& c) {
  const auto& a = c.attributes<BatchNormAttributes>();
  if (!a.training && (c.wants(3) || c.wants(4)))
    throw Error(ErrorCode::usage,
                "gradients: expected batch_norm's running statistics to be constants, received one to "
                "differentiate by");
  const ValueId dy = c.output_gradient(0);
  if (c.wants(kBatchNormSkip) && dy != kNoValue) c.set(kBatchNormSkip, dy);
  if (!c.wants(0) && !c.wants(1) && !c.wants(2)) return;
  std::vector<ValueId> inputs = {dy == kNoValue ? c.zeros_like(c.output(0)) : dy,
                                 c.input(0),
                                 c.input(1),
                                 c.input(2),
                                 c.output(1),
                                 c.output(2)};
  if (a.training && (c.output_gradient(1) != kNoValue || c.output_gradient(2) != kNoValue)) {
    inputs.push_back(c.output_gradient(1));
    inputs.push_back(c.output_gradient(2));
  }
  const std::vector<ValueId> gradients = c.add("batch_norm_backward", inputs, a);
  for (size_t i = 0; i < 3; ++i)
    if (c.wants(i)) c.set(i, gradients[i]);
}

/// From the statistics that the node took, without taking them again.
Node replay(const Node& node) {
  BatchNormAttributes attributes = *static_cast<const BatchNormAttributes*>(node.attributes.get());
  if (!attributes.training) return node;
  attributes.training = false;
  Node again = node;
  again.attributes = std::make_shared<BatchNormAttributes>(attributes);
  again.inputs[3] = node.outputs[1];
  again.inputs[4] = node.outputs[2];
  return again;
}

int64_t rows_of(const Shape& shape) {
  return shape.count() / shape.back();
}

void batch_norm_cpu(const KernelContext& c) {
  const auto& a = c.as<BatchNormAttributes>();
  const Shape& x = c.inputs[0].type.shape;
  if (!a.training) {
    std::copy_n(c.in<float>(3), x.back(), c.out<float>(1));
    std::copy_n(c.in<float>(4), x.back(), c.out<float>(2));
  }
  normalise(*c.pool,
            Normalisation{rows_of(x), x.back(), c.in<float>(0), c.in<float>(1), c.in<float>(2),
                          c.in<float>(kBatchNormSkip), c.out<float>(0), c.out<float>(1), c.out<float>(2),
                          a.training, a.relu, a.epsilon},
            c.work);
}

void batch_norm_backward_cpu(const KernelContext& c) {
  const auto& a = c.as<BatchNormAttributes>();
  const Shape& x = c.inputs[1].type.shape;
  normalise_backward(
      *c.pool,
      NormalisationGradient{rows_of(x), x.back(), c.in<float>(0), c.in<float>(1), c.in<float>(2),
                            c.in<float>(3), c.in<float>(4), c.in<float>(5), c.in<float>(6), c.in<float>(7),
                            c.out<float>(0), c.out<float>(1), c.out<float>(2), a.training, a.relu, a.epsilon},
      c.work);
}

void batch_norm_statistics_cpu(const KernelContext& c) {
  const Shape& x = c.inputs[0].type.shape;
  Normalisation n{};
  n.rows = rows_of(x);
  n.channels = x.back();
  n.x = c.in<float>(0);
  n.mean = c.out<float>(0);
  n.variance = c.out<float>(1);
  take_statistics(*c.pool, n, c.work);
}

void batch_norm_table_cpu(const KernelContext& c) {
  const int64_t channels = c.inputs[0].count();
  const double epsilon = c.as<BatchNormTableAttributes>().epsilon;
  float* table = c.out<float>(0);
  for (int64_t ch = 0; ch < channels; ++ch) {
    table[ch] = c.in<float>(2)[ch];
    table[channels + ch] = normal_scale(static_cast<double>(c.in<float>(0)[ch]), c.in<float>(3)[ch], epsilon);
    table[2 * channels + ch] = c.in<float>(1)[ch];
  }
}

void batch_norm_update_cpu(const KernelContext& c) {
  const auto& a = c.as<BatchNormUpdateAttributes>();
  const double count = static_cast<double>(a.count), unbiased = a.count > 1 ? count / (count - 1) : 1;
  for (int64_t ch = 0; ch < c.inputs[0].count(); ++ch) {
    float &mean = c.in<float>(0)[ch], &variance = c.in<float>(1)[ch];
    mean = static_cast<float>((1 - a.momentum) * mean + a.momentum * c.in<float>(2)[ch]);
    variance = static_cast<float>((1 - a.momentum) * variance + a.momentum * unbiased * c.in<float>(3)[ch]);
  }
}

size_t batch_norm_work_bytes(const NodeTypes& types, int threads) {
  const Shape& x = types.input(0).shape;
  return normalise_work_bytes(rows_of(x), x.back(), threads);
}

size_t batch_norm_backward_work_bytes(const NodeTypes& types, int threads) {
  const Shape& x = types.input(1).shape;
  return normalise_backward_work_bytes(rows_of(x), x.back(), threads);
}

void batch_norm_cuda(const KernelContext& c) {
  const Shape& x = c.inputs[0].type.shape;
  BatchNormArgs args = normalise_args(c.as<BatchNormAttributes>(), rows_of(x), x.back(), c.work);
  args.x = elements_of(c, 0), args.weight = c.in<float>(1), args.bias = c.in<float>(2);
  args.running_mean = c.in<float>(3), args.running_variance = c.in<float>(4);
  args.skip = elements_of(c, kBatchNormSkip);
  args.y = results_of(c, 0), args.mean = c.out<float>(1), args.variance = c.out<float>(2);
  launch_normalise(c, args);
}

void batch_norm_backward_cuda(const KernelContext& c) {
  const Shape& x = c.inputs[1].type.shape;
  BatchNormArgs args = normalise_args(c.as<BatchNormAttributes>(), rows_of(x), x.back(), c.work);
  args.dy = elements_of(c, 0), args.x = elements_of(c, 1), args.weight = c.in<float>(2),
  args.bias = c.in<float>(3);
  args.mean = c.in<float>(4), args.variance = c.in<float>(5);
  args.dmean = c.in<float>(6), args.dvariance = c.in<float>(7);
  args.y = results_of(c, 0), args.dweight = c.out<float>(1), args.dbias = c.out<float>(2);
  launch_normalise_backward(c, args);
}

void batch_norm_statistics_cuda(const KernelContext& c) {
  const Shape& x = c.inputs[0].type.shape;
  BatchNormArgs args = normalise_args({}, rows_of(x), x.back(), c.work);
  args.x = elements_of(c, 0), args.mean = c.out<float>(0), args.variance = c.out<float>(1);
  launch_statistics(c, args);
}

void batch_norm_table_cuda(const KernelContext& c) {
  BatchNormArgs args{};
  args.channels = c.inputs[0].count(), args.epsilon = c.as<BatchNormTableAttributes>().epsilon;
  args.weight = c.in<float>(0), args.bias = c.in<float>(1);
  args.mean = c.in<float>(2), args.variance = c.in<float>(3), args.y = results_of(c, 0);
  launch(c, "batch_norm_table", element_grid(args.channels), args);
}

template <size_t kVolume>
size_t cuda_work_bytes(const NodeTypes& t) {
  const Shape& x = t.input(kVolume).shape;
  return normalise_cuda_work_bytes(rows_of(x), x.back());
}

void batch_norm_update_cuda(const KernelContext& c) {
  const auto& a = c.as<BatchNormUpdateAttributes>();
  const double count = static_cast<double>(a.count);
  const int64_t channels = c.inputs[0].count();
  launch(c, "batch_norm_update", element_grid(channels),
         BatchNormUpdateArgs{c.in<float>(0), c.in<float>(1), c.in<float>(2), c.in<float>(3), c.fault,
                             channels, a.momentum, a.count > 1 ? count / (count - 1) : 1});
}

}  // namespace

void register_batch_norm(OpRegistry& registry) {
  OpDef forward = op_definition<BatchNormAttributes>("batch_norm");
  forward.infer = &infer;
  forward.gradient = &gradient;
  forward.cpu = {{"channel_tables", &batch_norm_cpu}};
  forward.work_bytes = &batch_norm_work_bytes;
  forward.cuda = {{"column_sums", &batch_norm_cuda}};
  forward.bf16_inputs = kFirst | nth(kBatchNormSkip), forward.bf16_outputs = kFirst;
  forward.cuda_work_bytes = &cuda_work_bytes<0>;
  forward.in_place_inputs = {0, kBatchNormSkip};
  forward.repeat = Repeat::always;
  forward.replay = &replay;
  registry.add(std::move(forward));

  OpDef backward = op_definition<BatchNormAttributes>("batch_norm_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"channel_tables", &batch_norm_backward_cpu}};
  backward.work_bytes = &batch_norm_backward_work_bytes;
  backward.cuda = {{"column_sums", &batch_norm_backward_cuda}};
  backward.bf16_inputs = kFirst | kSecond, backward.bf16_outputs = kFirst;
  backward.cuda_work_bytes = &cuda_work_bytes<1>;
  backward.in_place_inputs = {0};
  registry.add(std::move(backward));

  OpDef statistics = op_definition<NoAttributes>("batch_norm_statistics");
  statistics.infer = &infer_statistics;
  statistics.cpu = {{"channel_tables", &batch_norm_statistics_cpu}};
  statistics.work_bytes = &batch_norm_work_bytes;
  statistics.cuda = {{"column_sums", &batch_norm_statistics_cuda}};
  statistics.bf16_inputs = kFirst;
  statistics.cuda_work_bytes = &cuda_work_bytes<0>;
  registry.add(std::move(statistics));

  OpDef table = op_definition<BatchNormTableAttributes>("batch_norm_table");
  table.infer = &infer_table;
  table.cpu = {{"loop", &batch_norm_table_cpu}};
  table.cuda = {{"channels", &batch_norm_table_cuda}};
  registry.add(std::move(table));

  OpDef update = op_definition<BatchNormUpdateAttributes>("batch_norm_update");
  update.infer = &infer_update;
  update.cpu = {{"loop", &batch_norm_update_cpu}};
  update.cuda = {{"channels", &batch_norm_update_cuda}};
  update.writes = [](const NodeTypes&, size_t input) { return input < 2; };
  registry.add(std::move(update));
}

}  // namespace sfr
