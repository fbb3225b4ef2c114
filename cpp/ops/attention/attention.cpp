#include "ops/attention/attention.h"

#include "graph/graph.h"
#include "ops/attention/attention_cpu.h"

namespace sfr {

namespace {

/// Checks q, k, v (inputs 0, 1, 2) and the relative tables (3, 4).
void expect_tokens(InferContext& c, int64_t heads, const std::array<int64_t, 2>& grid) {
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
  c.expect(c.has(3) == c.has(4), "rel_w", "both relative tables or neither", "one");
  if (!c.has(3)) return;
  c.expect(grid[0] >= 1 && grid[1] >= 1 && grid[0] * grid[1] == q[1] && q[1] == k[1], "grid",
           "[rows, columns] whose product is the number of queries and of keys, " + std::to_string(q[1]) +
               " and " + std::to_string(k[1]),
           "[" + std::to_string(grid[0]) + ", " + std::to_string(grid[1]) + "]", ErrorCode::usage);
  c.expect_dtype(3, "rel_h", DType::f32);
  c.expect_dtype(4, "rel_w", DType::f32);
  c.expect_shape(3, "rel_h", Shape{2 * grid[0] - 1, q[2] / heads});
  c.expect_shape(4, "rel_w", Shape{2 * grid[1] - 1, q[2] / heads});
}

void infer(InferContext& c) {
  c.expect_inputs(3, 5);
  const auto& a = c.attributes<AttentionAttributes>();
  expect_tokens(c, a.heads, a.grid);
  const TensorType q = c.input(0, "q");
  c.output(q);
  c.output({DType::f32, Shape{q.shape[0], a.heads, q.shape[1]}});
}

void infer_backward(InferContext& c) {
  c.expect_inputs(7, 9);
  const auto& a = c.attributes<AttentionBackwardAttributes>();
  expect_tokens(c, a.heads, a.grid);
  const Shape q = c.input(0, "q").shape, statistics = {q[0], a.heads, q[1]};
  c.expect_shape(5, "out", q);
  c.expect_shape(6, "logsumexp", statistics);
  if (c.has(7)) c.expect_shape(7, "dout", q);
  if (c.has(8)) c.expect_shape(8, "dlogsumexp", statistics);
  for (size_t i = 0; i < 3; ++i) c.output(c.input(i, "q, k, v"));
  if (!a.tables) return;
  c.expect(c.has(3), "tables", "false without relative tables", "true", ErrorCode::usage);
  c.output(c.input(3, "rel_h"));
  c.output(c.input(4, "rel_w"));
}

void gradient(GradientContext& c) {
  const auto& a = c.attributes<AttentionAttributes>();
  const bool tables = c.wants(3) || c.wants(4);
  const std::vector<ValueId> d = c.add("attention_backward",
                                       {c.input(0), c.input(1), c.input(2), c.input(3), c.input(4),
                                        c.output(0), c.output(1), c.output_gradient(0), c.output_gradient(1)},
                                       AttentionBackwardAttributes{a.heads, a.grid, tables});
  for (size_t i = 0; i < d.size(); ++i)
    if (c.wants(i)) c.set(i, d[i]);
}

/// Multiply-adds of the products with scores (2 forward, 5 backward); the relative terms are small beside
/// them.
double products(const NodeTypes& t, int count) {
  const Shape &q = t.input(0).shape, &k = t.input(1).shape;
  return 2.0 * count * static_cast<double>(q.count()) * static_cast<double>(k[1]);
}

double flops(const NodeTypes& t) {
  return products(t, 2);
}
double backward_flops(const NodeTypes& t) {
  return products(t, 5);
}

}  // namespace

void register_attention(OpRegistry& registry) {
  OpDef op = op_definition<AttentionAttributes>("attention");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"tiles", &attention_cpu}};
  op.work_bytes = &attention_work_bytes;
  op.flops = &flops;
  registry.add(std::move(op));

  OpDef backward = op_definition<AttentionBackwardAttributes>("attention_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"tiles", &attention_backward_cpu}};
  backward.work_bytes = &attention_backward_work_bytes;
  backward.flops = &backward_flops;
  registry.add(std::move(backward));
}

}  // namespace sfr
