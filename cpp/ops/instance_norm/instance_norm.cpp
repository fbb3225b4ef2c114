#include "ops/instance_norm/instance_norm.h"

#include <algorithm>

#include "device/launch.h"
#include "graph/graph.h"
#include "ops/batch_norm/normalise.h"

namespace sfr {

namespace {

Shape statistics_shape(const Shape& x) {
  return {x[0], x.back()};
}

/// Checks x at input `i` and the f32 [N, C] inputs from `first` on that are there.
void expect_volume(InferContext& c, size_t i, size_t first, std::initializer_list<const char*> names) {
  c.expect_dtype(i, "x", DType::f32);
  const TensorType& x = c.input(i, "x");
  c.expect(x.shape.rank() >= 2 && x.shape.count() > 0, "x",
           "the axes N and C and at least one element per channel", x.text());
  const double epsilon = c.attributes<BatchNormAttributes>().epsilon;
  c.expect(epsilon >= 0, "epsilon", "a number >= 0", std::to_string(epsilon), ErrorCode::usage);
  for (const char* name : names) {
    if (c.has(first)) {
      c.expect_dtype(first, name, DType::f32);
      c.expect_shape(first, name, statistics_shape(x.shape));
    }
    ++first;
  }
}

void infer(InferContext& c) {
  c.expect_inputs(1, 3);
  expect_volume(c, 0, 1, {"mean", "variance"});
  const bool training = c.attributes<BatchNormAttributes>().training;
  c.expect(c.has(1) != training && c.has(2) != training, "mean and variance",
           training ? "none when training" : "both when not training", c.has(1) || c.has(2) ? "some" : "none",
           ErrorCode::usage);
  const TensorType& x = c.input(0, "x");
  c.output(x);
  for (int i = 0; i < 2; ++i) c.output({DType::f32, statistics_shape(x.shape)});
}

void infer_backward(InferContext& c) {
  c.expect_inputs(4, 6);
  expect_volume(c, 1, 2, {"mean", "variance", "dmean", "dvariance"});
  c.expect_dtype(0, "dy", DType::f32);
  c.expect_shape(0, "dy", c.input(1, "x").shape);
  c.input(2, "mean");
  c.input(3, "variance");
  c.output(c.input(1, "x"));
}

void gradient(GradientContext& c) {
  if (c.wants(1) || c.wants(2))
    throw Error(ErrorCode::usage,
                "gradients: expected instance_norm's given statistics to be constants, received one to "
                "differentiate by");
  const auto& a = c.attributes<BatchNormAttributes>();
  const ValueId dy = c.output_gradient(0);
  std::vector<ValueId> inputs = {dy == kNoValue ? c.zeros_like(c.output(0)) : dy, c.input(0), c.output(1),
                                 c.output(2)};
  if (a.training && (c.output_gradient(1) != kNoValue || c.output_gradient(2) != kNoValue)) {
    inputs.push_back(c.output_gradient(1));
    inputs.push_back(c.output_gradient(2));
  }
  c.set(0, c.add("instance_norm_backward", inputs, a)[0]);
}

/// Rows and channels of one sample, and where sample `n` lies in a tensor of such volumes and of statistics.
struct Samples {
  int64_t count, rows, channels;
  explicit Samples(const Shape& x) : count(x[0]), rows(x.count() / (x[0] * x.back())), channels(x.back()) {}
  template <class P>
  P volume(P start, int64_t n) const {
    return start + n * rows * channels;
  }
  template <class T>
  T* vector(T* start, int64_t n) const {
    return start ? start + n * channels : nullptr;
  }
};

void instance_norm_cpu(const KernelContext& c) {
  const auto& a = c.as<BatchNormAttributes>();
  const Samples s(c.inputs[0].type.shape);
  if (!a.training) {
    std::copy_n(c.in<float>(1), s.count * s.channels, c.out<float>(1));
    std::copy_n(c.in<float>(2), s.count * s.channels, c.out<float>(2));
  }
  for (int64_t n = 0; n < s.count; ++n)
    normalise(*c.pool,
              Normalisation{s.rows, s.channels, s.volume(c.in<float>(0), n), nullptr, nullptr, nullptr,
                            s.volume(c.out<float>(0), n), s.vector(c.out<float>(1), n),
                            s.vector(c.out<float>(2), n), a.training, a.relu, a.epsilon},
              c.work);
}

void instance_norm_backward_cpu(const KernelContext& c) {
  const auto& a = c.as<BatchNormAttributes>();
  const Samples s(c.inputs[1].type.shape);
  for (int64_t n = 0; n < s.count; ++n)
    normalise_backward(
        *c.pool,
        NormalisationGradient{s.rows, s.channels, s.volume(c.in<float>(0), n), s.volume(c.in<float>(1), n),
                              nullptr, nullptr, s.vector(c.in<float>(2), n), s.vector(c.in<float>(3), n),
                              s.vector(c.in<float>(4), n), s.vector(c.in<float>(5), n),
                              s.volume(c.out<float>(0), n), nullptr, nullptr, a.training, a.relu, a.epsilon},
        c.work);
}

void instance_norm_cuda(const KernelContext& c) {
  const Samples s(c.inputs[0].type.shape);
  BatchNormArgs args = normalise_args(c.as<BatchNormAttributes>(), s.rows, s.channels, c.work);
  for (int64_t n = 0; n < s.count; ++n) {
    args.x = s.volume(elements_of(c, 0), n), args.y = s.volume(results_of(c, 0), n);
    args.running_mean = s.vector(c.in<float>(1), n), args.running_variance = s.vector(c.in<float>(2), n);
    args.mean = s.vector(c.out<float>(1), n), args.variance = s.vector(c.out<float>(2), n);
    launch_normalise(c, args);
  }
}

void instance_norm_backward_cuda(const KernelContext& c) {
  const Samples s(c.inputs[1].type.shape);
  BatchNormArgs args = normalise_args(c.as<BatchNormAttributes>(), s.rows, s.channels, c.work);
  for (int64_t n = 0; n < s.count; ++n) {
    args.dy = s.volume(elements_of(c, 0), n), args.x = s.volume(elements_of(c, 1), n);
    args.mean = s.vector(c.in<float>(2), n), args.variance = s.vector(c.in<float>(3), n);
    args.dmean = s.vector(c.in<float>(4), n), args.dvariance = s.vector(c.in<float>(5), n);
    args.y = s.volume(results_of(c, 0), n);
    launch_normalise_backward(c, args);
  }
}

size_t cuda_work_bytes(const NodeTypes& types) {
  const Samples s(types.input(0).shape);
  return normalise_cuda_work_bytes(s.rows, s.channels);
}

size_t work_bytes(const NodeTypes& types, int threads) {
  const Samples s(types.input(0).shape);
  return normalise_work_bytes(s.rows, s.channels, threads);
}

size_t backward_work_bytes(const NodeTypes& types, int threads) {
  const Samples s(types.input(1).shape);
  return normalise_backward_work_bytes(s.rows, s.channels, threads);
}

/// From the statistics that the node took, without taking them again.
Node replay(const Node& node) {
  BatchNormAttributes attributes = *static_cast<const BatchNormAttributes*>(node.attributes.get());
  attributes.training = false;
  Node again = node;
  again.attributes = std::make_shared<BatchNormAttributes>(attributes);
  again.inputs = {node.inputs[0], node.outputs[1], node.outputs[2]};
  return again;
}

}  // namespace

void register_instance_norm(OpRegistry& registry) {
  OpDef forward = op_definition<BatchNormAttributes>("instance_norm");
  forward.infer = &infer;
  forward.gradient = &gradient;
  forward.cpu = {{"channel_tables", &instance_norm_cpu}};
  forward.cuda = {{"column_sums", &instance_norm_cuda}};
  forward.bf16_inputs = forward.bf16_outputs = kFirst;
  forward.cuda_work_bytes = &cuda_work_bytes;
  forward.work_bytes = &work_bytes;
  forward.in_place_inputs = {0};
  forward.repeat = Repeat::always;
  forward.replay = &replay;
  registry.add(std::move(forward));

  OpDef backward = op_definition<BatchNormAttributes>("instance_norm_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"channel_tables", &instance_norm_backward_cpu}};
  backward.cuda = {{"column_sums", &instance_norm_backward_cuda}};
  backward.bf16_inputs = kFirst | kSecond, backward.bf16_outputs = kFirst;
  backward.cuda_work_bytes = &cuda_work_bytes;
  backward.work_bytes = &backward_work_bytes;
  backward.in_place_inputs = {0};
  registry.add(std::move(backward));
}

}  // namespace sfr
