#include "ops/activation/activation.h"

#include "device/launch.h"
#include "graph/graph.h"
#include "ops/elementwise/elementwise.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.output(c.input(0, "x"));
}

void infer_backward(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "dy", DType::f32);
  c.expect_dtype(1, "x", DType::f32);
  c.expect_shape(1, "x", c.input(0, "dy").shape);
  c.output(c.input(0, "dy"));
}

void relu_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(relu_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.out<float>(0) + i, n); });
}

void relu_backward_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(relu_backward_row);
  over_elements(
      c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.in<float>(1) + i, c.out<float>(0) + i, n); });
}

void sigmoid_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(sigmoid_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.out<float>(0) + i, n); });
}

void tanh_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(tanh_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.out<float>(0) + i, n); });
}

void gelu_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(gelu_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.out<float>(0) + i, n); });
}

void gelu_backward_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(gelu_backward_row);
  over_elements(
      c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.in<float>(1) + i, c.out<float>(0) + i, n); });
}

void launch_elements(const KernelContext& c, const char* kernel) {
  const int64_t count = c.outputs[0].count();
  launch(c, kernel, element_grid(count),
         ActivationArgs{elements_of(c, 0), elements_of(c, 1), results_of(c, 0), count});
}

void relu_cuda(const KernelContext& c) {
  launch_elements(c, "relu");
}
void relu_backward_cuda(const KernelContext& c) {
  launch_elements(c, "relu_backward");
}
void gelu_cuda(const KernelContext& c) {
  launch_elements(c, "gelu");
}
void gelu_backward_cuda(const KernelContext& c) {
  launch_elements(c, "gelu_backward");
}

void sigmoid_cuda(const KernelContext& c) {
  launch_elements(c, "sigmoid");
}
void tanh_cuda(const KernelContext& c) {
  launch_elements(c, "tangent");
}

void gradient_relu(GradientContext& c) {
  c.set(0, c.add("relu_backward", {c.output_gradient(0), c.output(0)})[0]);
}

void gradient_gelu(GradientContext& c) {
  c.set(0, c.add("gelu_backward", {c.output_gradient(0), c.input(0)})[0]);
}

/// dy times 1 - y, then times y.
void gradient_sigmoid(GradientContext& c) {
  const ValueId rest = c.add("affine", {c.output(0)}, AffineAttributes{-1, 1})[0];
  c.set(0, c.add("multiply", {c.add("multiply", {c.output_gradient(0), rest})[0], c.output(0)})[0]);
}

void gradient_tanh(GradientContext& c) {
  const ValueId square = c.add("multiply", {c.output(0), c.output(0)})[0];
  const ValueId slope = c.add("affine", {square}, AffineAttributes{-1, 1})[0];
  c.set(0, c.add("multiply", {c.output_gradient(0), slope})[0]);
}

void add(OpRegistry& registry, const char* name, void (*infer_types)(InferContext&),
         void (*gradient)(GradientContext&), void (*run)(const KernelContext&),
         void (*run_cuda)(const KernelContext&), Repeat repeat) {
  OpDef op = op_definition<NoAttributes>(name);
  op.infer = infer_types;
  op.gradient = gradient;
  op.cpu = {{"rows", run}};
  op.cuda = {{"elements", run_cuda}};
  op.bf16_inputs = kFirst | kSecond, op.bf16_outputs = kFirst;
  op.in_place_inputs = {0};
  op.repeat = repeat;
  registry.add(std::move(op));
}

}  // namespace

void register_activation(OpRegistry& registry) {
  add(registry, "relu", &infer, &gradient_relu, &relu_cpu, &relu_cuda, Repeat::never);
  add(registry, "relu_backward", &infer_backward, nullptr, &relu_backward_cpu, &relu_backward_cuda,
      Repeat::never);
  add(registry, "sigmoid", &infer, &gradient_sigmoid, &sigmoid_cpu, &sigmoid_cuda, Repeat::never);
  add(registry, "tanh", &infer, &gradient_tanh, &tanh_cpu, &tanh_cuda, Repeat::never);
  add(registry, "gelu", &infer, &gradient_gelu, &gelu_cpu, &gelu_cuda, Repeat::always);
  add(registry, "gelu_backward", &infer_backward, nullptr, &gelu_backward_cpu, &gelu_backward_cuda,
      Repeat::never);
}

}  // namespace sfr
