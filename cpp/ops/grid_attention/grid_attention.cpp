#include "ops/grid_attention/grid_attention.h"

#include "graph/graph.h"
#include "ops/attention/attention_cuda.h"

namespace sfr {

namespace {

/// Checks qkv, padding, rel_h and rel_w (inputs 0 to 3).
void expect_grid(InferContext& c, int64_t heads, int64_t window) {
  c.expect_dtype(0, "qkv", DType::f32);
  c.expect_rank(0, "qkv", 4);
  const Shape& qkv = c.input(0, "qkv").shape;
  c.expect(qkv.count() > 0 && qkv[3] % 3 == 0, "qkv", "[N, H, W, 3 C] of at least one token", qkv.text());
  c.expect(heads >= 1 && qkv[3] / 3 % heads == 0, "heads",
           "a divisor of the channels " + std::to_string(qkv[3] / 3), std::to_string(heads),
           ErrorCode::usage);
  c.expect(window >= 0, "window", "0 (the whole grid) or more", std::to_string(window), ErrorCode::usage);
  const int64_t depth = qkv[3] / 3 / heads;
  c.expect_dtype(1, "padding", DType::f32);
  c.expect_shape(1, "padding", Shape{qkv[3]});
  c.expect_dtype(2, "rel_h", DType::f32);
  c.expect_shape(2, "rel_h", Shape{2 * (window > 0 ? window : qkv[1]) - 1, depth});
  c.expect_dtype(3, "rel_w", DType::f32);
  c.expect_shape(3, "rel_w", Shape{2 * (window > 0 ? window : qkv[2]) - 1, depth});
}

Shape out_shape(const Shape& qkv) {
  return {qkv[0], qkv[1], qkv[2], qkv[3] / 3};
}

Shape statistics(const Shape& qkv, int64_t heads) {
  return {qkv[0], heads, qkv[1], qkv[2]};
}

void infer(InferContext& c) {
  c.expect_inputs(4, 4);
  const auto& a = c.attributes<GridAttentionAttributes>();
  expect_grid(c, a.heads, a.window);
  const Shape& qkv = c.input(0, "qkv").shape;
  c.output({DType::f32, out_shape(qkv)});
  c.output({DType::f32, statistics(qkv, a.heads)});
}

void infer_backward(InferContext& c) {
  c.expect_inputs(6, 8);
  const auto& a = c.attributes<GridAttentionBackwardAttributes>();
  expect_grid(c, a.heads, a.window);
  const Shape& qkv = c.input(0, "qkv").shape;
  c.expect_shape(4, "out", out_shape(qkv));
  c.expect_shape(5, "logsumexp", statistics(qkv, a.heads));
  if (c.has(6)) c.expect_shape(6, "dout", out_shape(qkv));
  if (c.has(7)) c.expect_shape(7, "dlogsumexp", statistics(qkv, a.heads));
  for (size_t i = 0; i < (a.parameters ? 4 : 1); ++i) c.output(c.input(i, "qkv"));
}

void gradient(GradientContext& c) {
  const auto& a = c.attributes<GridAttentionAttributes>();
  const bool parameters = c.wants(1) || c.wants(2) || c.wants(3);
  const std::vector<ValueId> d = c.add("grid_attention_backward",
                                       {c.input(0), c.input(1), c.input(2), c.input(3), c.output(0),
                                        c.output(1), c.output_gradient(0), c.output_gradient(1)},
                                       GridAttentionBackwardAttributes{a.heads, a.window, parameters});
  for (size_t i = 0; i < d.size(); ++i)
    if (c.wants(i)) c.set(i, d[i]);
}

/// Multiply-adds of the products with scores, `count` of them; the relative terms are small beside them.
double products(const NodeTypes& t, int64_t window, int count) {
  const Shape& qkv = t.input(0).shape;
  const int64_t keys = window > 0 ? window * window : qkv[1] * qkv[2];
  return 2.0 * count * static_cast<double>(qkv.count() / 3) * static_cast<double>(keys);
}

double flops(const NodeTypes& t) {
  return products(t, t.as<GridAttentionAttributes>().window, 2);
}
double backward_flops(const NodeTypes& t) {
  return products(t, t.as<GridAttentionBackwardAttributes>().window, 5);
}

template <class A>
const char* refuses_depth(const NodeTypes& t) {
  return refuses_attention_depth(t.input(0).shape[3] / 3 / t.as<A>().heads);
}

}  // namespace

void register_grid_attention(OpRegistry& registry) {
  OpDef op = op_definition<GridAttentionAttributes>("grid_attention");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"tiles", &grid_attention_cpu}};
  op.cuda = {{"tiles", &grid_attention_cuda, &refuses_depth<GridAttentionAttributes>}};
  op.bf16_inputs = op.bf16_outputs = kFirst;
  op.cuda_work_bytes = &grid_attention_cuda_work_bytes;
  op.work_bytes = &grid_attention_work_bytes;
  op.flops = &flops;
  op.repeat = Repeat::to_save_memory;
  registry.add(std::move(op));

  OpDef backward = op_definition<GridAttentionBackwardAttributes>("grid_attention_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"tiles", &grid_attention_backward_cpu}};
  backward.cuda = {{"tiles", &grid_attention_backward_cuda, &refuses_depth<GridAttentionBackwardAttributes>}};
  backward.bf16_inputs = kFirst | nth(4) | nth(6), backward.bf16_outputs = kFirst;
  backward.cuda_work_bytes = &grid_attention_backward_cuda_work_bytes;
  backward.work_bytes = &grid_attention_backward_work_bytes;
  backward.flops = &backward_flops;
  registry.add(std::move(backward));
}

}  // namespace sfr
