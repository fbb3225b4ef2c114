#include "ops/attention/attention.h"

#include "device/launch.h"
#include "graph/graph.h"
#include "ops/attention/attention_cpu.h"
#include "ops/attention/attention_cuda.h"

namespace sfr {

namespace {

/// Checks q, k, v (inputs 0, 1, 2).
void expect_tokens(InferContext& c) {
  const int64_t heads = c.attributes<AttentionAttributes>().heads;
  const char* names[] = {"q", "k", "v"};
  for (size_t i = 0; i < 3; ++i) {
    c.expect_dtype(i, names[i], DType::f32);
    c.expect_rank(i, names[i], 3);
  }
  const Shape &q = c.input(0, "q").shape, &k = c.input(1, "k").shape;
  c.expect(heads >= 1 && q[2] >= heads && q[2] % heads == 0, "heads",
           "a divisor of the channels " + std::to_string(q[2]), std::to_string(heads), ErrorCode::usage);
  c.expect(k[0] == q[0] && k[2] == q[2] && k[1] >= 1, "k",
           "the batch and channels of q " + q.text() + " and a key", k.text());
  c.expect_shape(2, "v", k);
}

Shape statistics(const Shape& q, int64_t heads) {
  return {q[0], heads, q[1]};
}

AttentionBatch batch_of(const Shape& q, const Shape& k, int64_t heads) {
  AttentionBatch batch{};
  batch.first.sizes = {q[1], k[1], q[2] / heads, q[2], q[2], q[2], 0, 0, 0};
  batch.items = q[0];
  batch.heads = heads;
  return batch;
}

AttentionBatch batch_of(const KernelContext& c) {
  AttentionBatch batch =
      batch_of(c.inputs[0].type.shape, c.inputs[1].type.shape, c.as<AttentionAttributes>().heads);
  batch.first.q = c.in<float>(0);
  batch.first.k = c.in<float>(1);
  batch.first.v = c.in<float>(2);
  return batch;
}

AttentionBatch batch_of(const NodeTypes& t) {
  return batch_of(t.input(0).shape, t.input(1).shape, t.as<AttentionAttributes>().heads);
}

// ---- forward

void infer(InferContext& c) {
  c.expect_inputs(3, 3);
  expect_tokens(c);
  const TensorType q = c.input(0, "q");
  c.output(q);
  c.output({DType::f32, statistics(q.shape, c.attributes<AttentionAttributes>().heads)});
}

void attention_cpu(const KernelContext& c) {
  AttentionBatch batch = batch_of(c);
  batch.first.out = c.out<float>(0);
  batch.first.logsumexp = c.out<float>(1);
  attention_heads(*c.pool, batch, c.work);
}

size_t work_bytes(const NodeTypes& t, int threads) {
  return attention_heads_work_bytes(batch_of(t), threads);
}

// ---- backward

void infer_backward(InferContext& c) {
  c.expect_inputs(5, 7);
  expect_tokens(c);
  const Shape q = c.input(0, "q").shape;
  const Shape per_query = statistics(q, c.attributes<AttentionAttributes>().heads);
  c.expect_shape(3, "out", q);
  c.expect_shape(4, "logsumexp", per_query);
  if (c.has(5)) c.expect_shape(5, "dout", q);
  if (c.has(6)) c.expect_shape(6, "dlogsumexp", per_query);
  for (size_t i = 0; i < 3; ++i) c.output(c.input(i, "q, k, v"));
}

void attention_backward_cpu(const KernelContext& c) {
  AttentionBatch batch = batch_of(c);
  batch.first.out = c.in<float>(3);
  batch.first.logsumexp = c.in<float>(4);
  batch.first.dout = c.in<float>(5);
  batch.first.dlogsumexp = c.in<float>(6);
  batch.first.dq = c.out<float>(0);
  batch.first.dk = c.out<float>(1);
  batch.first.dv = c.out<float>(2);
  attention_heads_backward(*c.pool, batch, {}, c.work);
}

size_t backward_work_bytes(const NodeTypes& t, int threads) {
  return attention_heads_backward_work_bytes(batch_of(t), false, threads);
}

// ---- CUDA kernels

/// Tokens in a row: one window of one column. Without tensors.
AttentionArgs kernel_args(const Shape& q, const Shape& k, int64_t heads) {
  AttentionArgs args{};
  args.items = q[0], args.heads = heads, args.depth = q[2] / heads, args.pitch = args.out_pitch = q[2];
  args.queries = {q[1], 1, q[1], 1}, args.keys = {k[1], 1, k[1], 1};
  args.down = args.across = 1;
  return args;
}

AttentionArgs kernel_args(const KernelContext& c) {
  AttentionArgs args =
      kernel_args(c.inputs[0].type.shape, c.inputs[1].type.shape, c.as<AttentionAttributes>().heads);
  args.q = elements_of(c, 0), args.k = elements_of(c, 1), args.v = elements_of(c, 2);
  return args;
}

const char* refuses_depth(const NodeTypes& t) {
  return refuses_attention_depth(t.input(0).shape[2] / t.as<AttentionAttributes>().heads);
}

void attention_cuda(const KernelContext& c) {
  AttentionArgs args = kernel_args(c);
  args.out = results_of(c, 0), args.logsumexp = c.out<float>(1);
  launch_attention(c, args);
}

void attention_backward_cuda(const KernelContext& c) {
  AttentionArgs args = kernel_args(c);
  args.result = elements_of(c, 3), args.logsumexp = c.in<float>(4);
  args.dout = elements_of(c, 5), args.dlogsumexp = c.in<float>(6);
  args.dq = results_of(c, 0), args.dk = results_of(c, 1), args.dv = results_of(c, 2);
  launch_attention_backward(c, args);
}

size_t backward_cuda_work_bytes(const NodeTypes& t) {
  return attention_backward_cuda_work_bytes(
      kernel_args(t.input(0).shape, t.input(1).shape, t.as<AttentionAttributes>().heads));
}

void gradient(GradientContext& c) {
  const std::vector<ValueId> d = c.add("attention_backward",
                                       {c.input(0), c.input(1), c.input(2), c.output(0), c.output(1),
                                        c.output_gradient(0), c.output_gradient(1)},
                                       c.attributes<AttentionAttributes>());
  for (size_t i = 0; i < d.size(); ++i)
    if (c.wants(i)) c.set(i, d[i]);
}

/// Multiply-adds of the products with scores: 2 forward, 5 backward.
template <int kCount>
double flops(const NodeTypes& t) {
  return 2.0 * kCount * static_cast<double>(t.input(0).shape.count()) *
         static_cast<double>(t.input(1).shape[1]);
}

}  // namespace

void register_attention(OpRegistry& registry) {
  OpDef op = op_definition<AttentionAttributes>("attention");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"tiles", &attention_cpu}};
  op.cuda = {{"tiles", &attention_cuda, &refuses_depth}};
  op.bf16_inputs = kFirst | kSecond | kThird, op.bf16_outputs = kFirst;
  op.work_bytes = &work_bytes;
  op.flops = &flops<2>;
  registry.add(std::move(op));

  OpDef backward = op_definition<AttentionAttributes>("attention_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"tiles", &attention_backward_cpu}};
  backward.cuda = {{"tiles", &attention_backward_cuda, &refuses_depth}};
  backward.bf16_inputs = kFirst | kSecond | kThird | nth(3) | nth(5);
  backward.bf16_outputs = kFirst | kSecond | kThird;
  backward.cuda_work_bytes = &backward_cuda_work_bytes;
  backward.work_bytes = &backward_work_bytes;
  backward.flops = &flops<5>;
  registry.add(std::move(backward));
}

}  // namespace sfr
