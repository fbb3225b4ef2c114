#include "ops/elementwise/elementwise.h"

#include <cstring>

#include "core/chunks.h"
#include "cuda/column_grid.h"
#include "graph/graph.h"

namespace sfr {

namespace {

bool is_suffix(const Shape& suffix, const Shape& of) {
  if (suffix.rank() > of.rank()) return false;
  for (int i = 0; i < suffix.rank(); ++i)
    if (suffix[i] != of[of.rank() - suffix.rank() + i]) return false;
  return true;
}

// ---- add, subtract, multiply, divide

void infer_binary(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "a", DType::f32);
  c.expect_dtype(1, "b", DType::f32);
  const TensorType& a = c.input(0, "a");
  c.expect(is_suffix(c.input(1, "b").shape, a.shape), "b",
           "the shape " + a.shape.text() + ", a suffix of it or a scalar", c.input(1, "b").text());
  c.output(a);
}

template <BinaryOp kOp>
void binary_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(binary_row);
  const float *a = c.in<float>(0), *b = c.in<float>(1);
  float* y = c.out<float>(0);
  const int64_t count = c.inputs[0].count(), inner = c.inputs[1].count();
  if (inner == count || inner == 1) {
    const int64_t chunks = chunk_count(count, kElementGrain);
    c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
      const Range r = chunk_range(count, chunk, chunks);
      const int stride = inner == count ? 1 : 0;
      row(kOp, a + r.begin, b + r.begin * stride, stride, y + r.begin, r.end - r.begin);
    });
    return;
  }
  const int64_t rows = count / inner, chunks = chunk_count(rows, kElementGrain / inner + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) row(kOp, a + i * inner, b, 1, y + i * inner, inner);
  });
}

template <BinaryOp kOp>
void binary_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, "binary_elements", element_grid(count),
         BinaryArgs{kOp, elements_of(c, 0), elements_of(c, 1), results_of(c, 0), count, c.inputs[1].count()});
}

/// Gradient of a repeated operand: summed over what it was repeated over.
ValueId reduce_to(GradientContext& c, ValueId gradient, ValueId like) {
  const Shape& shape = c.type(like).shape;
  if (c.type(gradient).shape == shape) return gradient;
  return c.add("sum_to", {gradient}, TargetShapeAttributes{shape.extents()})[0];
}

void gradient_add(GradientContext& c) {
  if (c.wants(0)) c.set(0, c.output_gradient(0));
  if (c.wants(1)) c.set(1, reduce_to(c, c.output_gradient(0), c.input(1)));
}

void gradient_subtract(GradientContext& c) {
  if (c.wants(0)) c.set(0, c.output_gradient(0));
  if (c.wants(1))
    c.set(1, reduce_to(c, c.add("affine", {c.output_gradient(0)}, AffineAttributes{-1, 0})[0], c.input(1)));
}

void gradient_multiply(GradientContext& c) {
  if (c.wants(0)) c.set(0, c.add("multiply", {c.output_gradient(0), c.input(1)})[0]);
  if (c.wants(1))
    c.set(1, reduce_to(c, c.add("multiply", {c.output_gradient(0), c.input(0)})[0], c.input(1)));
}

/// da = g / b, db = -(g / b) y.
void gradient_divide(GradientContext& c) {
  const ValueId quotient = c.add("divide", {c.output_gradient(0), c.input(1)})[0];
  if (c.wants(0)) c.set(0, quotient);
  if (!c.wants(1)) return;
  const ValueId product = c.add("multiply", {quotient, c.output(0)})[0];
  c.set(1, reduce_to(c, c.add("affine", {product}, AffineAttributes{-1, 0})[0], c.input(1)));
}

// ---- affine

void infer_affine(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.output(c.input(0, "x"));
}

void affine_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(affine_row);
  const auto& a = c.as<AffineAttributes>();
  const auto factor = static_cast<float>(a.factor), offset = static_cast<float>(a.offset);
  over_elements(
      c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, factor, offset, c.out<float>(0) + i, n); });
}

void affine_cuda(const KernelContext& c) {
  const auto& a = c.as<AffineAttributes>();
  const int64_t count = c.outputs[0].count();
  launch(c, "affine_elements", element_grid(count),
         AffineArgs{elements_of(c, 0), results_of(c, 0), count, static_cast<float>(a.factor),
                    static_cast<float>(a.offset)});
}

void gradient_affine(GradientContext& c) {
  c.set(0, c.add("affine", {c.output_gradient(0)},
                 AffineAttributes{c.attributes<AffineAttributes>().factor, 0})[0]);
}

// ---- sum, sum_to, broadcast_to

void infer_sum(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.output({DType::f32, Shape{}});
}

void infer_sum_to(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  const Shape target(c.attributes<TargetShapeAttributes>().shape);
  c.expect(is_suffix(target, c.input(0, "x").shape), "shape", "a suffix of " + c.input(0, "x").shape.text(),
           target.text());
  c.output({DType::f32, target});
}

void infer_broadcast_to(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  const Shape target(c.attributes<TargetShapeAttributes>().shape);
  c.expect(is_suffix(c.input(0, "x").shape, target), "shape",
           "a shape that ends in " + c.input(0, "x").shape.text(), target.text());
  c.output({DType::f32, target});
}

int64_t sum_chunks(const NodeTypes& t) {
  const int64_t inner = t.outputs[0].shape.count(), rows = inner ? t.input(0).shape.count() / inner : 0;
  return chunk_count(rows, kElementGrain / std::max<int64_t>(inner, 1) + 1);
}

size_t sum_work_bytes(const NodeTypes& t, int) {
  return static_cast<size_t>(sum_chunks(t) * t.outputs[0].shape.count()) * sizeof(double);
}

/// Rows of `inner` elements are summed per chunk in double, then chunk by chunk.
void sum_cpu(const KernelContext& c) {
  const auto sum = SFR_DISPATCH(sum_row);
  const auto accumulate = SFR_DISPATCH(accumulate_row);
  const int64_t inner = c.outputs[0].count(), rows = inner ? c.inputs[0].count() / inner : 0;
  const int64_t chunks = chunk_count(rows, kElementGrain / std::max<int64_t>(inner, 1) + 1);
  auto* partial = static_cast<double*>(c.work);
  const float* x = c.in<float>(0);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    double* mine = partial + chunk * inner;
    if (inner == 1) {
      mine[0] = sum(x + r.begin, r.end - r.begin);
      return;
    }
    std::fill(mine, mine + inner, 0.0);
    for (int64_t i = r.begin; i < r.end; ++i) accumulate(x + i * inner, mine, inner);
  });
  for (int64_t j = 0; j < inner; ++j) {
    double total = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) total += partial[chunk * inner + j];
    c.out<float>(0)[j] = static_cast<float>(total);
  }
}

size_t sum_cuda_work_bytes(const NodeTypes& t) {
  const int64_t inner = t.outputs[0].shape.count();
  return sum_over_rows_bytes(inner ? t.input(0).shape.count() / inner : 0, inner);
}

void sum_cuda(const KernelContext& c) {
  const int64_t inner = c.outputs[0].count();
  if (inner > 0)
    sum_over_rows(c, elements_of(c, 0), c.inputs[0].count() / inner, inner, c.out<float>(0), c.work);
}

void gradient_sum(GradientContext& c) {
  c.set(0, c.add("broadcast_to", {c.output_gradient(0)},
                 TargetShapeAttributes{c.type(c.input(0)).shape.extents()})[0]);
}

void broadcast_cpu(const KernelContext& c) {
  const int64_t inner = c.inputs[0].count(), rows = inner ? c.outputs[0].count() / inner : 0;
  const int64_t chunks = chunk_count(rows, kElementGrain / std::max<int64_t>(inner, 1) + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    float* y = c.out<float>(0);
    if (inner == 1)
      std::fill(y + r.begin, y + r.end, c.in<float>(0)[0]);
    else
      for (int64_t i = r.begin; i < r.end; ++i)
        std::memcpy(y + i * inner, c.in<float>(0), static_cast<size_t>(inner) * sizeof(float));
  });
}

void broadcast_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, "repeat_elements", element_grid(count),
         BinaryArgs{{}, elements_of(c, 0), {}, results_of(c, 0), count, c.inputs[0].count()});
}

void gradient_broadcast(GradientContext& c) {
  c.set(0, reduce_to(c, c.output_gradient(0), c.input(0)));
}

// ---- stop_gradient

void infer_stop_gradient(InferContext& c) {
  c.expect_inputs(1, 1);
  c.output(c.input(0, "x"));
}

template <BinaryOp kOp>
OpDef binary(const char* name, void (*gradient)(GradientContext&)) {
  OpDef op = op_definition<NoAttributes>(name);
  op.infer = &infer_binary;
  op.gradient = gradient;
  op.cpu = {{"rows", &binary_cpu<kOp>}};
  op.cuda = {{"elements", &binary_cuda<kOp>}};
  op.bf16_inputs = kFirst | kSecond, op.bf16_outputs = kFirst;
  op.in_place_inputs = {0};
  op.repeat = Repeat::to_save_memory;
  return op;
}

}  // namespace

size_t sum_over_rows_bytes(int64_t rows, int64_t columns) {
  return column_sums_bytes(column_sums_of(rows, columns, 1, nullptr));
}

void sum_over_rows(const KernelContext& c, Elements x, int64_t rows, int64_t columns, float* y, void* work) {
  const SumArgs args{x, y, column_sums_of(rows, columns, 1, work)};
  launch(c, "sum_chunks", column_grid(args.sums), args);
  launch(c, "finish_sums", element_grid(columns), args);
}

void register_elementwise(OpRegistry& registry) {
  registry.add(binary<BinaryOp::add>("add", &gradient_add));
  registry.add(binary<BinaryOp::subtract>("subtract", &gradient_subtract));
  registry.add(binary<BinaryOp::multiply>("multiply", &gradient_multiply));
  registry.add(binary<BinaryOp::divide>("divide", &gradient_divide));

  OpDef affine = op_definition<AffineAttributes>("affine");
  affine.infer = &infer_affine;
  affine.gradient = &gradient_affine;
  affine.cpu = {{"rows", &affine_cpu}};
  affine.cuda = {{"elements", &affine_cuda}};
  affine.bf16_inputs = affine.bf16_outputs = kFirst;
  affine.in_place_inputs = {0};
  registry.add(std::move(affine));

  OpDef sum = op_definition<NoAttributes>("sum");
  sum.infer = &infer_sum;
  sum.gradient = &gradient_sum;
  sum.cpu = {{"chunked_double", &sum_cpu}};
  sum.work_bytes = &sum_work_bytes;
  sum.cuda = {{"chunked_double", &sum_cuda}};
  sum.bf16_inputs = kFirst;
  sum.cuda_work_bytes = &sum_cuda_work_bytes;
  registry.add(std::move(sum));

  OpDef sum_to = op_definition<TargetShapeAttributes>("sum_to");
  sum_to.infer = &infer_sum_to;
  sum_to.gradient = &gradient_sum;
  sum_to.cpu = {{"chunked_double", &sum_cpu}};
  sum_to.work_bytes = &sum_work_bytes;
  sum_to.cuda = {{"chunked_double", &sum_cuda}};
  sum_to.bf16_inputs = kFirst;
  sum_to.cuda_work_bytes = &sum_cuda_work_bytes;
  registry.add(std::move(sum_to));

  OpDef broadcast = op_definition<TargetShapeAttributes>("broadcast_to");
  broadcast.infer = &infer_broadcast_to;
  broadcast.gradient = &gradient_broadcast;
  broadcast.cpu = {{"rows", &broadcast_cpu}};
  broadcast.cuda = {{"elements", &broadcast_cuda}};
  registry.add(std::move(broadcast));

  OpDef stop = op_definition<NoAttributes>("stop_gradient");
  stop.infer = &infer_stop_gradient;
  stop.is_view = true;
  registry.add(std::move(stop));
}

}  // namespace sfr
