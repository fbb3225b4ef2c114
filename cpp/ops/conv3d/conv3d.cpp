#include "ops/conv3d/conv3d.h"

#include "cuda/product_grid.h"
#include "graph/graph.h"
#include "math/conv3d.h"
#include "ops/elementwise/elementwise.h"

namespace sfr {

namespace {

const Shape& expect_volume(const InferContext& c, size_t i, const char* name) {
  c.expect_dtype(i, name, DType::f32);
  c.expect_rank(i, name, 5);
  const TensorType& t = c.input(i, name);
  c.expect(t.shape.count() > 0, name, "at least one element", t.text());
  return t.shape;
}

void expect_kernel(const InferContext& c, const char* name, int64_t kd, int64_t kh, int64_t kw,
                   const std::string& received) {
  for (const int64_t k : {kd, kh, kw}) c.expect(k >= 1 && k % 2 == 1, name, "odd kernel extents", received);
}

/// Checks weight [kd, kh, kw, Cin, Cout] at input 1; `channels` of input 0 must equal its axis `axis`.
const Shape& expect_weight(const InferContext& c, const Shape& volume, int axis) {
  const Shape& weight = expect_volume(c, 1, "weight");
  expect_kernel(c, "weight", weight[0], weight[1], weight[2], weight.text());
  c.expect(weight[axis] == volume[4], "weight",
           std::to_string(volume[4]) + (axis == 3 ? " input channels" : " output channels"), weight.text());
  return weight;
}

TensorType with_channels(Shape shape, int64_t channels) {
  shape.set(4, channels);
  return {DType::f32, shape};
}

Conv3dShape conv_shape(const Shape& volume, const Shape& weight) {
  return {volume[0], volume[1], volume[2], volume[3], weight[3], weight[4], weight[0], weight[1], weight[2]};
}

/// The same from (x, dy, kernel), as the weight gradient sees it.
Conv3dShape conv_shape(const Shape& x, const Shape& dy, const std::array<int64_t, 3>& kernel) {
  return {x[0], x[1], x[2], x[3], x[4], dy[4], kernel[0], kernel[1], kernel[2]};
}

double direct_flops(const Conv3dShape& s) {
  return 2.0 * static_cast<double>(s.n * s.d * s.h * s.w) * static_cast<double>(s.cin * s.cout) *
         static_cast<double>(s.kd * s.kh * s.kw);
}

/// Checks norm, skip and skip_norm, the optional inputs from number `first` on.
void expect_norm(const InferContext& c, size_t first, const Shape& x, bool winograd) {
  c.expect(c.has(first) || !(c.has(first + 1) || c.has(first + 2)), "skip", "a norm before it", "none");
  c.expect(c.has(first + 1) || !c.has(first + 2), "skip_norm", "a skip before it", "none");
  for (const size_t i : {first, first + 2})
    if (c.has(i)) {
      c.expect_dtype(i, "norm", DType::f32);
      c.expect_shape(i, "norm", Shape{3, x[4]});
      c.expect(winograd, "norm", "a layer that Winograd's kernel takes", x.text());
    }
  if (!c.has(first + 1)) return;
  c.expect_dtype(first + 1, "skip", DType::f32);
  c.expect_shape(first + 1, "skip", x);
}

ConvInput input_of(const KernelContext& c, size_t norm) {
  return {c.in<float>(0), c.in<float>(norm), c.in<float>(norm + 1), c.in<float>(norm + 2)};
}

// ---- forward

void infer(InferContext& c) {
  c.expect_inputs(2, kConv3dNorm + 3);
  const Shape& x = expect_volume(c, 0, "x");
  const Shape& weight = expect_weight(c, x, 3);
  if (c.has(2)) {
    c.expect_dtype(2, "bias", DType::f32);
    c.expect_shape(2, "bias", Shape{weight[4]});
  }
  expect_norm(c, kConv3dNorm, x, conv3d_uses_winograd(conv_shape(x, weight)));
  c.output(with_channels(x, weight[4]));
}

/// Shape of a node whose inputs are a volume and the weight: forward and input gradient.
Conv3dShape node_shape(const NodeTypes& t) {
  return conv_shape(t.input(0).shape, t.input(1).shape);
}

const char* const kNoWinograd =
    "wants a kernel of 3 along y and x, channels in multiples of 16, enough tiles";

const char* refuses_winograd(const NodeTypes& t) {
  return conv3d_uses_winograd(node_shape(t)) ? nullptr : kNoWinograd;
}

size_t work_bytes(const NodeTypes& t, int threads) {
  return conv3d_forward_work_bytes(node_shape(t), threads);
}

double flops(const NodeTypes& t) {
  return direct_flops(node_shape(t));
}

void conv3d_cpu(const KernelContext& c) {
  conv3d_forward(*c.pool, conv_shape(c.inputs[0].type.shape, c.inputs[1].type.shape),
                 input_of(c, kConv3dNorm), c.in<float>(1), c.in<float>(2), c.out<float>(0), c.work);
}

int64_t voxels_of(const Conv3dShape& s) {
  return s.n * s.d * s.h * s.w;
}

/// `in`, `out`: channels that are gathered and written.
Conv3dArgs kernel_args(const Conv3dShape& s, int64_t in, int64_t out) {
  Conv3dArgs args{};
  args.n = s.n, args.d = s.d, args.h = s.h, args.w = s.w, args.in = in, args.out = out;
  args.kd = static_cast<int32_t>(s.kd), args.kh = static_cast<int32_t>(s.kh);
  args.kw = static_cast<int32_t>(s.kw), args.parts = 1;
  return args;
}

/// x, norm, skip and skip_norm, from input `norm` on.
void set_input(const KernelContext& c, size_t norm, Conv3dArgs& args) {
  args.x = elements_of(c, 0);
  args.norm = c.in<float>(norm), args.skip = elements_of(c, norm + 1), args.skip_norm = c.in<float>(norm + 2);
}

void conv3d_cuda(const KernelContext& c) {
  const Conv3dShape s = conv_shape(c.inputs[0].type.shape, c.inputs[1].type.shape);
  Conv3dArgs args = kernel_args(s, s.cin, s.cout);
  set_input(c, kConv3dNorm, args);
  args.weight = c.in<float>(1), args.bias = c.in<float>(2), args.y = results_of(c, 0);
  launch(c, "conv3d_forward", product_grid(voxels_of(s), s.cout, 1), args);
}

// ---- gradient of the input

void infer_backward_input(InferContext& c) {
  c.expect_inputs(2, 2);
  const Shape& dy = expect_volume(c, 0, "dy");
  c.output(with_channels(dy, expect_weight(c, dy, 4)[3]));
}

size_t backward_input_work_bytes(const NodeTypes& t, int threads) {
  return conv3d_backward_input_work_bytes(node_shape(t), threads);
}

void backward_input_cpu(const KernelContext& c) {
  conv3d_backward_input(*c.pool, conv_shape(c.inputs[0].type.shape, c.inputs[1].type.shape), c.in<float>(0),
                        c.in<float>(1), c.out<float>(0), c.work);
}

void backward_input_cuda(const KernelContext& c) {
  const Conv3dShape s = conv_shape(c.inputs[0].type.shape, c.inputs[1].type.shape);
  Conv3dArgs args = kernel_args(s, s.cout, s.cin);
  args.x = elements_of(c, 0), args.weight = c.in<float>(1), args.y = results_of(c, 0);
  launch(c, "conv3d_backward_input", product_grid(voxels_of(s), s.cin, 1), args);
}

// ---- gradients of weight and bias

void infer_backward_weight(InferContext& c) {
  c.expect_inputs(2, kConv3dWeightNorm + 3);
  const auto& a = c.attributes<Conv3dWeightAttributes>();
  const Shape &x = expect_volume(c, 0, "x"), &dy = expect_volume(c, 1, "dy");
  c.expect(with_channels(x, 1) == with_channels(dy, 1), "dy", "the volume of x " + x.text(), dy.text());
  const Shape weight{a.kernel[0], a.kernel[1], a.kernel[2], x[4], dy[4]};
  expect_kernel(c, "kernel", weight[0], weight[1], weight[2], weight.text());
  expect_norm(c, kConv3dWeightNorm, x, conv3d_backward_weight_uses_winograd(conv_shape(x, dy, a.kernel)));
  c.output({DType::f32, weight});
  if (a.bias) c.output({DType::f32, Shape{dy[4]}});
}

Conv3dShape weight_shape(const NodeTypes& t) {
  return conv_shape(t.input(0).shape, t.input(1).shape, t.as<Conv3dWeightAttributes>().kernel);
}

const char* weight_refuses_winograd(const NodeTypes& t) {
  return conv3d_backward_weight_uses_winograd(weight_shape(t)) ? nullptr : kNoWinograd;
}

size_t backward_weight_work_bytes(const NodeTypes& t, int threads) {
  return conv3d_backward_weight_work_bytes(weight_shape(t), threads);
}

double backward_weight_flops(const NodeTypes& t) {
  return direct_flops(weight_shape(t));
}

void backward_weight_cpu(const KernelContext& c) {
  const auto& a = c.as<Conv3dWeightAttributes>();
  conv3d_backward_weight(*c.pool, conv_shape(c.inputs[0].type.shape, c.inputs[1].type.shape, a.kernel),
                         input_of(c, kConv3dWeightNorm), c.in<float>(1), c.out<float>(0),
                         a.bias ? c.out<float>(1) : nullptr, c.work);
}

int64_t weight_rows(const Conv3dShape& s) {
  return s.kd * s.kh * s.kw * s.cin;
}

void backward_weight_cuda(const KernelContext& c) {
  const Conv3dShape s =
      conv_shape(c.inputs[0].type.shape, c.inputs[1].type.shape, c.as<Conv3dWeightAttributes>().kernel);
  const int64_t m = weight_rows(s), parts = product_parts(m, s.cout, voxels_of(s));
  Conv3dArgs args = kernel_args(s, s.cin, s.cout);
  set_input(c, kConv3dWeightNorm, args);
  args.dy = elements_of(c, 1), args.parts = static_cast<int32_t>(parts);
  args.y = {parts == 1 ? c.out<float>(0) : c.work};
  launch(c, "conv3d_backward_weight", product_grid(m, s.cout, parts), args);
  void* rest = static_cast<char*>(c.work) + parts_bytes(m, s.cout, parts);
  if (parts > 1) sum_over_rows(c, args.y.elements(), parts, m * s.cout, c.out<float>(0), rest);
  if (c.outputs.size() > 1) sum_over_rows(c, args.dy, voxels_of(s), s.cout, c.out<float>(1), rest);
}

size_t backward_weight_cuda_work_bytes(const NodeTypes& t) {
  const Conv3dShape s = weight_shape(t);
  const int64_t m = weight_rows(s), parts = product_parts(m, s.cout, voxels_of(s));
  return parts_bytes(m, s.cout, parts) +
         std::max(sum_over_rows_bytes(parts, m * s.cout), sum_over_rows_bytes(voxels_of(s), s.cout));
}

void gradient(GradientContext& c) {
  const ValueId dy = c.output_gradient(0);
  // Weights first: x can go before dx comes.
  if (c.wants(1)) {
    const Shape weight = c.type(c.input(1)).shape;
    const auto outputs = c.add("conv3d_backward_weight", {c.input(0), dy},
                               Conv3dWeightAttributes{{weight[0], weight[1], weight[2]}, c.wants(2)});
    c.set(1, outputs[0]);
    if (c.wants(2)) c.set(2, outputs[1]);
  } else if (c.wants(2)) {
    c.set(2, c.add("sum_to", {dy}, TargetShapeAttributes{c.type(c.input(2)).shape.extents()})[0]);
  }
  if (c.wants(0)) c.set(0, c.add("conv3d_backward_input", {dy, c.input(1)})[0]);
}

}  // namespace

void register_conv3d(OpRegistry& registry) {
  OpDef forward = op_definition<NoAttributes>("conv3d");
  forward.infer = &infer;
  forward.gradient = &gradient;
  // One function for both: the choice is made by shape in cpp/math/conv3d.cpp, the names are for explain().
  forward.cpu = {{"winograd", &conv3d_cpu, &refuses_winograd}, {"direct", &conv3d_cpu}};
  forward.work_bytes = &work_bytes;
  forward.cuda = {{"implicit_gemm", &conv3d_cuda}};
  forward.bf16_inputs = kFirst | nth(kConv3dNorm + 1), forward.bf16_outputs = kFirst;
  forward.flops = &flops;
  forward.repeat = Repeat::to_save_memory;
  registry.add(std::move(forward));

  OpDef input = op_definition<NoAttributes>("conv3d_backward_input");
  input.infer = &infer_backward_input;
  input.cpu = {{"winograd", &backward_input_cpu, &refuses_winograd}, {"direct", &backward_input_cpu}};
  input.cuda = {{"implicit_gemm", &backward_input_cuda}};
  input.bf16_inputs = input.bf16_outputs = kFirst;
  input.work_bytes = &backward_input_work_bytes;
  input.flops = &flops;
  registry.add(std::move(input));

  OpDef weight = op_definition<Conv3dWeightAttributes>("conv3d_backward_weight");
  weight.infer = &infer_backward_weight;
  weight.cpu = {{"winograd", &backward_weight_cpu, &weight_refuses_winograd},
                {"direct", &backward_weight_cpu}};
  weight.cuda = {{"implicit_gemm", &backward_weight_cuda}};
  weight.bf16_inputs = kFirst | kSecond | nth(kConv3dWeightNorm + 1);
  weight.cuda_work_bytes = &backward_weight_cuda_work_bytes;
  weight.work_bytes = &backward_weight_work_bytes;
  weight.flops = &backward_weight_flops;
  registry.add(std::move(weight));
}

}  // namespace sfr
