#include "ops/matmul/matmul.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"
#include "math/gemm.h"
#include "ops/linear/linear.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(2, 2);
  const auto& attributes = c.attributes<MatmulAttributes>();
  for (size_t i = 0; i < 2; ++i) {
    const char* name = i == 0 ? "a" : "b";
    c.expect_dtype(i, name, DType::f32);
    c.expect_rank(i, name, 3);
    c.expect(c.input(i, name).shape.count() > 0, name, "at least one element", c.input(i, name).text());
  }
  const Shape &a = c.input(0, "a").shape, &b = c.input(1, "b").shape;
  const int64_t k = a[attributes.transpose_a ? 1 : 2];
  c.expect(b[0] == a[0] && b[attributes.transpose_b ? 2 : 1] == k, "b",
           "a batch of " + std::to_string(a[0]) + " and an inner size of " + std::to_string(k), b.text());
  c.output({DType::f32, Shape{a[0], a[attributes.transpose_a ? 2 : 1], b[attributes.transpose_b ? 1 : 2]}});
}

GemmArguments product(const MatmulAttributes& attributes, const Shape& a, const Shape& y) {
  GemmArguments g;
  g.m = y[1];
  g.n = g.ldc = y[2];
  g.k = a[attributes.transpose_a ? 1 : 2];
  g.a_transposed = attributes.transpose_a;
  g.b_transposed = attributes.transpose_b;
  g.lda = attributes.transpose_a ? g.m : g.k;
  g.ldb = attributes.transpose_b ? g.k : g.n;
  return g;
}

/// Many products run one per thread; a few large ones each use all threads. Decided by the shape alone.
bool one_per_thread(int64_t batch, const GemmArguments& g) {
  return batch >= 16 || g.m * g.n * g.k <= (1 << 20);
}

size_t serial_bytes(const GemmArguments& g) {
  return (gemm_serial_work_bytes(g) + 63) / 64 * 64;
}

size_t work_bytes(const NodeTypes& t, int threads) {
  const GemmArguments g = product(t.as<MatmulAttributes>(), t.input(0).shape, t.outputs[0].shape);
  return one_per_thread(t.input(0).shape[0], g) ? serial_bytes(g) * static_cast<size_t>(threads)
                                                : gemm_work_bytes(g, threads);
}

double flops(const NodeTypes& t) {
  return 2.0 * static_cast<double>(t.input(0).shape.count()) * static_cast<double>(t.outputs[0].shape[2]);
}

void matmul_cpu(const KernelContext& c) {
  const int64_t batch = c.outputs[0].type.shape[0];
  const GemmArguments shape =
      product(c.as<MatmulAttributes>(), c.inputs[0].type.shape, c.outputs[0].type.shape);
  const auto matrix = [&](int64_t i) {
    GemmArguments g = shape;
    g.a = c.in<float>(0) + i * g.m * g.k;
    g.b = c.in<float>(1) + i * g.k * g.n;
    g.c = c.out<float>(0) + i * g.m * g.n;
    return g;
  };
  if (!one_per_thread(batch, shape)) {
    for (int64_t i = 0; i < batch; ++i) gemm(*c.pool, matrix(i), c.work);
    return;
  }
  const size_t bytes = serial_bytes(shape);
  const int64_t chunks = chunk_count(batch, (1 << 18) / (shape.m * shape.n * shape.k) + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(batch, chunk, chunks);
    void* own = static_cast<char*>(c.work) + static_cast<size_t>(thread) * bytes;
    for (int64_t i = r.begin; i < r.end; ++i) gemm_serial(matrix(i), own);
  });
}

void matmul_cuda(const KernelContext& c) {
  const GemmArguments g = product(c.as<MatmulAttributes>(), c.inputs[0].type.shape, c.outputs[0].type.shape);
  ProductArgs args = product_args(elements_of(c, 0), elements_of(c, 1), results_of(c, 0), g.m, g.n, g.k);
  if (g.a_transposed) args.a_row = 1, args.a_column = g.m;
  if (g.b_transposed) args.b_row = 1, args.b_column = g.k;
  args.a_batch = g.m * g.k, args.b_batch = g.k * g.n;
  launch_products(c, args, c.outputs[0].type.shape[0]);
}

/// dA = dy op(B)^T and dB = op(A)^T dy, written so that the result is stored as A and B are.
void gradient(GradientContext& c) {
  const auto& s = c.attributes<MatmulAttributes>();
  const ValueId dy = c.output_gradient(0), a = c.input(0), b = c.input(1);
  if (c.wants(0)) {
    const auto da = s.transpose_a ? c.add("matmul", {b, dy}, MatmulAttributes{s.transpose_b, true})
                                  : c.add("matmul", {dy, b}, MatmulAttributes{false, !s.transpose_b});
    c.set(0, da[0]);
  }
  if (c.wants(1)) {
    const auto db = s.transpose_b ? c.add("matmul", {dy, a}, MatmulAttributes{true, s.transpose_a})
                                  : c.add("matmul", {a, dy}, MatmulAttributes{!s.transpose_a, false});
    c.set(1, db[0]);
  }
}

}  // namespace

void register_matmul(OpRegistry& registry) {
  OpDef op = op_definition<MatmulAttributes>("matmul");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"gemm", &matmul_cpu}};
  op.cuda = {{"tiles", &matmul_cuda}};
  op.bf16_inputs = kFirst | kSecond, op.bf16_outputs = kFirst;
  op.work_bytes = &work_bytes;
  op.flops = &flops;
  registry.add(std::move(op));
}

}  // namespace sfr
