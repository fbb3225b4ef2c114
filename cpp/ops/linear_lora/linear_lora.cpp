#include "ops/linear_lora/linear_lora.h"

#include <algorithm>
#include <cstring>

#include "graph/graph.h"
#include "math/gemm.h"
#include "ops/linear/linear.h"
#include "ops/linear_lora/lora_problem.h"

namespace sfr {

namespace {

using namespace lora;

TensorType with_channels(const TensorType& rows, int64_t channels) {
  TensorType t = rows;
  t.shape.set(t.shape.rank() - 1, channels);
  return t;
}

/// Checks weight (input `weight_at`) and the pairs from input `first` on; returns the weight's shape.
const Shape& expect_updates(InferContext& c, size_t weight_at, size_t first,
                            const std::vector<int64_t>& begins) {
  const Shape& weight = expect_linear_weight(c, weight_at);
  c.expect(!begins.empty() && c.input_count() == first + 2 * begins.size(), "begins",
           "one channel for each pair a, b", std::to_string(begins.size()), ErrorCode::usage);
  int64_t free_from = 0;
  for (size_t i = 0; i < begins.size(); ++i) {
    const size_t a = first + 2 * i, b = a + 1;
    for (const size_t at : {a, b}) {
      c.expect_dtype(at, "a, b", DType::f32);
      c.expect_rank(at, "a, b", 2);
    }
    const Shape &as = c.input(a, "a").shape, &bs = c.input(b, "b").shape;
    c.expect(as[0] == weight[0] && as[1] >= 1 && bs[0] == as[1], "a, b",
             "[" + std::to_string(weight[0]) + ", r] and [r, w]", as.text() + " and " + bs.text());
    c.expect(begins[i] >= free_from && begins[i] + bs[1] <= weight[1], "begins",
             "rising ranges of channels within " + std::to_string(weight[1]), std::to_string(begins[i]));
    free_from = begins[i] + bs[1];
  }
  return weight;
}

/// All a side by side [in, rank], or, `transposed`, below each other [rank, in].
void join_a(const KernelContext& c, const Problem& p, size_t first, bool transposed, float* joined) {
  for (size_t i = 0; i < p.updates.size(); ++i) {
    const Update& u = p.updates[i];
    const float* a = c.in<float>(first + 2 * i);
    for (int64_t row = 0; row < p.in; ++row)
      for (int64_t j = 0; j < u.rank; ++j) {
        float& to = transposed ? joined[(u.column + j) * p.in + row] : joined[row * p.rank + u.column + j];
        to = a[row * u.rank + j];
      }
  }
}

// ---- forward

void infer(InferContext& c) {
  const auto& begins = c.attributes<LinearLoraAttributes>().begins;
  const Shape& weight = expect_updates(c, 1, kForwardPairs, begins);
  c.expect_dtype(0, "x", DType::f32);
  const TensorType x = c.input(0, "x");
  c.expect(x.shape.rank() >= 1 && x.shape.count() > 0 && x.shape.back() == weight[0], "x",
           "[.., " + std::to_string(weight[0]) + "] with at least one element", x.text());
  if (c.has(2)) {
    c.expect_dtype(2, "bias", DType::f32);
    c.expect_shape(2, "bias", Shape{weight[1]});
  }
  int64_t rank = 0;
  for (size_t i = 0; i < begins.size(); ++i) rank += c.input(kForwardPairs + 2 * i, "a").shape[1];
  c.output(with_channels(x, weight[1]));
  c.output(with_channels(x, rank));
}

GemmArguments thin_product(const Problem& p) {
  GemmArguments g;
  g.m = p.rows;
  g.k = g.lda = p.in;
  g.n = g.ldb = g.ldc = p.rank;
  return g;
}

GemmArguments forward_product(const Problem& p) {
  GemmArguments g;
  g.m = p.rows;
  g.k = g.lda = p.in;
  g.n = g.ldb = g.ldc = p.out;
  g.tail_k = g.ld_tail_a = p.rank;
  g.bf16 = p.bf16;
  return g;
}

size_t work_bytes(const NodeTypes& t, int threads) {
  const Problem p = forward_problem(t);
  return floats(p.in * p.rank) + floats(p.rank * p.out) +
         std::max(gemm_work_bytes(thin_product(p), threads), gemm_work_bytes(forward_product(p), threads));
}

void linear_lora_cpu(const KernelContext& c) {
  const Problem p = forward_problem(c);
  Carver work{static_cast<char*>(c.work)};
  float *a = work.take(p.in * p.rank), *b = work.take(p.rank * p.out);
  join_a(c, p, kForwardPairs, false, a);
  std::fill_n(b, p.rank * p.out, 0.0f);
  for (size_t i = 0; i < p.updates.size(); ++i) {
    const Update& u = p.updates[i];
    for (int64_t row = 0; row < u.rank; ++row)
      std::copy_n(c.in<float>(kForwardPairs + 2 * i + 1) + row * u.width, u.width,
                  b + (u.column + row) * p.out + u.begin);
  }
  GemmArguments thin = thin_product(p);
  thin.a = c.in<float>(0);
  thin.b = a;
  thin.c = c.out<float>(1);
  gemm(*c.pool, thin, work.base + work.used);
  GemmArguments g = forward_product(p);
  g.a = c.in<float>(0);
  g.b = c.inputs[1].data;
  g.bias = c.in<float>(2);
  g.tail_a = c.out<float>(1);
  g.tail_b = b;
  g.c = c.out<float>(0);
  gemm(*c.pool, g, work.base + work.used);
}

double product_flops(const Problem& p, double products) {
  double thin = static_cast<double>(p.in * p.rank);
  for (const Update& u : p.updates) thin += static_cast<double>(u.rank * u.width);
  return 2.0 * static_cast<double>(p.rows) * (static_cast<double>(p.in * p.out) + products * thin);
}

double flops(const NodeTypes& t) {
  return product_flops(forward_problem(t), 1);
}

// ---- backward

void infer_backward(InferContext& c) {
  const auto& a = c.attributes<LinearLoraBackwardAttributes>();
  const Shape& weight = expect_updates(c, 3, kBackwardPairs, a.begins);
  const TensorType x = c.input(1, "x");
  c.expect_dtype(1, "x", DType::f32);
  c.expect_shape(1, "x", with_channels(x, weight[0]).shape);
  c.expect_shape(0, "dy", with_channels(x, weight[1]).shape);
  c.expect(with_channels(c.input(2, "u"), 1) == with_channels(x, 1), "u", "the rows of x",
           c.input(2, "u").text());
  if (c.has(4)) c.expect_shape(4, "du", c.input(2, "u").shape);
  if (a.input) c.output(x);
  for (size_t i = kBackwardPairs; i < c.input_count(); ++i) c.output(c.input(i, "a, b"));
}

/// The products of the backward pass.
struct BackwardProducts {
  std::vector<GemmArguments> du, db;  // one per update
  GemmArguments da, dx;
};

BackwardProducts backward_products(const Problem& p) {
  BackwardProducts g;
  for (const Update& u : p.updates) {
    GemmArguments du;
    du.m = p.rows;
    du.k = du.ldb = u.width;
    du.n = u.rank;
    du.lda = p.out;
    du.b_transposed = true;
    du.ldc = p.rank;
    g.du.push_back(du);
    GemmArguments db;
    db.m = u.rank;
    db.k = p.rows;
    db.n = db.ldc = u.width;
    db.lda = p.rank;
    db.a_transposed = true;
    db.ldb = p.out;
    g.db.push_back(db);
  }
  g.da.m = g.da.lda = p.in;
  g.da.k = p.rows;
  g.da.n = g.da.ldb = g.da.ldc = p.rank;
  g.da.a_transposed = true;
  g.dx.m = p.rows;
  g.dx.k = g.dx.lda = g.dx.ldb = p.out;
  g.dx.n = g.dx.ldc = p.in;
  g.dx.b_transposed = true;
  g.dx.tail_k = g.dx.ld_tail_a = p.rank;
  g.dx.bf16 = p.bf16;
  return g;
}

/// du, joined a (transposed), joined da.
size_t own_backward_bytes(const Problem& p) {
  return floats(p.rows * p.rank) + 2 * floats(p.in * p.rank);
}

size_t backward_work_bytes(const NodeTypes& t, int threads) {
  const Problem p = backward_problem(t);
  const BackwardProducts g = backward_products(p);
  size_t most = std::max(gemm_work_bytes(g.da, threads), gemm_work_bytes(g.dx, threads));
  for (size_t i = 0; i < p.updates.size(); ++i)
    most = std::max({most, gemm_work_bytes(g.du[i], threads), gemm_work_bytes(g.db[i], threads)});
  return own_backward_bytes(p) + most;
}

/// da of all updates, [in, rank] -> outputs.
void split_da(const KernelContext& c, const Problem& p, size_t first_output, const float* joined) {
  for (size_t i = 0; i < p.updates.size(); ++i) {
    const Update& u = p.updates[i];
    for (int64_t row = 0; row < p.in; ++row)
      std::copy_n(joined + row * p.rank + u.column, u.rank,
                  c.out<float>(first_output + 2 * i) + row * u.rank);
  }
}

void backward_cpu(const KernelContext& c) {
  const Problem p = backward_problem(c);
  BackwardProducts g = backward_products(p);
  Carver work{static_cast<char*>(c.work)};
  float* du = work.take(p.rows * p.rank);
  float *a = work.take(p.in * p.rank), *da = work.take(p.in * p.rank);
  void* rest = work.base + work.used;
  const size_t first = c.as<LinearLoraBackwardAttributes>().input ? 1 : 0;
  const float* dy = c.in<float>(0);
  if (c.has(4)) std::copy_n(c.in<float>(4), p.rows * p.rank, du);
  for (size_t i = 0; i < p.updates.size(); ++i) {
    const Update& u = p.updates[i];
    g.du[i].a = dy + u.begin;
    g.du[i].b = c.in<float>(kBackwardPairs + 2 * i + 1);
    g.du[i].c = du + u.column;
    g.du[i].accumulate = c.has(4);
    gemm(*c.pool, g.du[i], rest);
    g.db[i].a = c.in<float>(2) + u.column;
    g.db[i].b = dy + u.begin;
    g.db[i].c = c.out<float>(first + 2 * i + 1);
    gemm(*c.pool, g.db[i], rest);
  }
  g.da.a = c.in<float>(1);
  g.da.b = du;
  g.da.c = da;
  gemm(*c.pool, g.da, rest);
  split_da(c, p, first, da);
  if (first == 0) return;
  join_a(c, p, kBackwardPairs, true, a);
  g.dx.a = dy;
  g.dx.b = c.inputs[3].data;
  g.dx.tail_a = du;
  g.dx.tail_b = a;
  g.dx.c = c.out<float>(0);
  gemm(*c.pool, g.dx, rest);
}

double backward_flops(const NodeTypes& t) {
  const Problem p = backward_problem(t);
  const double dx = t.as<LinearLoraBackwardAttributes>().input ? 1 : 0;
  return product_flops(p, 2 + dx) - (1 - dx) * 2.0 * static_cast<double>(p.rows * p.in * p.out);
}

void gradient(GradientContext& c) {
  const auto& begins = c.attributes<LinearLoraAttributes>().begins;
  ValueId dy = c.output_gradient(0);
  if (dy == kNoValue) {  // the loss sees u alone
    const std::vector<int64_t> extents = c.type(c.output(0)).shape.extents();
    const std::vector<double> shape(extents.begin(), extents.end());
    dy = c.graph().add_node("fill", {}, {{"value", 0.0}, {"shape", shape}}, "zero gradient")[0];
  }
  std::vector<ValueId> inputs = {dy, c.input(0), c.output(1), c.input(1), c.output_gradient(1)};
  for (size_t i = kForwardPairs; i < c.input_count(); ++i) inputs.push_back(c.input(i));
  const auto d = c.add("linear_lora_backward", inputs, LinearLoraBackwardAttributes{begins, c.wants(0)});
  size_t next = 0;
  if (c.wants(0)) c.set(0, d[next++]);
  for (size_t i = kForwardPairs; i < c.input_count(); ++i, ++next)
    if (c.wants(i)) c.set(i, d[next]);
  set_linear_parameter_gradients(c, dy);
}

}  // namespace

void register_linear_lora(OpRegistry& registry) {
  OpDef forward = op_definition<LinearLoraAttributes>("linear_lora");
  forward.infer = &infer;
  forward.gradient = &gradient;
  forward.cpu = {{"gemm_with_tail", &linear_lora_cpu}};
  forward.cuda = {{"tiles", &linear_lora_cuda}};
  forward.bf16_inputs = forward.bf16_outputs = kFirst;
  forward.work_bytes = &work_bytes;
  forward.flops = &flops;
  forward.repeat = Repeat::to_save_memory;
  registry.add(std::move(forward));

  OpDef backward = op_definition<LinearLoraBackwardAttributes>("linear_lora_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"gemm_with_tail", &backward_cpu}};
  backward.cuda = {{"tiles", &linear_lora_backward_cuda}};
  backward.cuda_work_bytes = &linear_lora_backward_cuda_work_bytes;
  backward.bf16_inputs = kFirst | kSecond, backward.bf16_outputs = kFirst;
  backward.work_bytes = &backward_work_bytes;
  backward.flops = &backward_flops;
  registry.add(std::move(backward));
}

}  // namespace sfr
