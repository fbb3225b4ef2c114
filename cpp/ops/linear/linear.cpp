#include "ops/linear/linear.h"

#include "core/chunks.h"
#include "cuda/product_grid.h"
#include "graph/graph.h"
#include "math/gemm.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/few_outputs.h"

namespace sfr {

namespace {

/// Checks f32 [.., channels] without empty axes; channels < 0: any.
const TensorType& expect_rows(const InferContext& c, size_t i, const char* name, int64_t channels) {
  c.expect_dtype(i, name, DType::f32);
  const TensorType& t = c.input(i, name);
  c.expect(t.shape.rank() >= 1 && t.shape.count() > 0, name, "at least one axis and one element", t.text());
  c.expect(channels < 0 || t.shape.back() == channels, name, std::to_string(channels) + " channels",
           t.text());
  return t;
}

TensorType with_channels(const TensorType& rows, int64_t channels) {
  TensorType t = rows;
  t.shape.set(t.shape.rank() - 1, channels);
  return t;
}

int64_t row_count(const Shape& shape) {
  return shape.count(0, shape.rank() - 1);
}

double product_flops(const NodeTypes& t, size_t a, size_t b) {
  return 2.0 * static_cast<double>(t.input(a).shape.count()) * static_cast<double>(t.input(b).shape.back());
}

// ---- all three for few outputs

const char* refuses_weight(int64_t channels, int64_t outputs) {
  return channels <= kMostChannels && outputs <= kMostFewOutputs ? nullptr
                                                                 : "wants at most 64 channels and 8 outputs";
}

/// Forward and input gradient, whose input 1 is the weight.
const char* refuses_few_outputs(const NodeTypes& t) {
  if (t.input(1).dtype != DType::f32) return "wants weights in f32";
  return refuses_weight(t.input(1).shape[0], t.input(1).shape[1]);
}

int64_t few_outputs_chunks(int64_t rows, int64_t channels) {
  return chunk_count(rows, kElementGrain / channels + 1);
}

void few_outputs_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(few_outputs_rows);
  const int64_t channels = c.inputs[1].type.shape[0], outputs = c.inputs[1].type.shape[1];
  const int64_t rows = row_count(c.inputs[0].type.shape), chunks = few_outputs_chunks(rows, channels);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    run(c.in<float>(0) + r.begin * channels, c.in<float>(1), c.in<float>(2),
        c.out<float>(0) + r.begin * outputs, r.end - r.begin, channels, outputs);
  });
}

void few_outputs_backward_input_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(few_outputs_input_rows);
  const int64_t channels = c.inputs[1].type.shape[0], outputs = c.inputs[1].type.shape[1];
  const int64_t rows = row_count(c.inputs[0].type.shape), chunks = few_outputs_chunks(rows, channels);
  const bool streamed = channels % 16 == 0 && worth_streaming(c.outputs[0].data, c.outputs[0].type.bytes());
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    run(c.in<float>(0) + r.begin * outputs, c.in<float>(1), c.out<float>(0) + r.begin * channels,
        r.end - r.begin, channels, outputs, streamed);
  });
}

const char* refuses_few_outputs_weight(const NodeTypes& t) {
  return refuses_weight(t.input(0).shape.back(), t.input(1).shape.back());
}

/// Each chunk of rows has sums [channels + 1][outputs] of its own, the last row those of dy.
void few_outputs_backward_weight_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(few_outputs_weight_rows);
  const int64_t channels = c.inputs[0].type.shape.back(), outputs = c.inputs[1].type.shape.back();
  const int64_t rows = row_count(c.inputs[0].type.shape), chunks = few_outputs_chunks(rows, channels);
  const int64_t weights = channels * outputs, count = weights + outputs;
  auto* sums = static_cast<double*>(c.work);
  std::fill(sums, sums + chunks * count, 0.0);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    double* mine = sums + chunk * count;
    run(c.in<float>(0) + r.begin * channels, c.in<float>(1) + r.begin * outputs, r.end - r.begin, channels,
        outputs, mine, mine + weights);
  });
  for (int64_t i = 0; i < (c.outputs.size() > 1 ? count : weights); ++i) {
    double sum = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += sums[chunk * count + i];
    (i < weights ? c.out<float>(0)[i] : c.out<float>(1)[i - weights]) = static_cast<float>(sum);
  }
}

size_t few_outputs_backward_weight_work_bytes(const NodeTypes& t) {
  const int64_t channels = t.input(0).shape.back(), outputs = t.input(1).shape.back();
  const int64_t chunks = few_outputs_chunks(row_count(t.input(0).shape), channels);
  return static_cast<size_t>(chunks * (channels + 1) * outputs) * sizeof(double);
}

// ---- forward

void infer(InferContext& c) {
  c.expect_inputs(2, 3);
  const Shape& weight = expect_linear_weight(c, 1);
  const TensorType& x = expect_rows(c, 0, "x", weight[0]);
  if (c.has(2)) {
    c.expect_dtype(2, "bias", DType::f32);
    c.expect_shape(2, "bias", Shape{weight[1]});
  }
  c.output(with_channels(x, weight[1]));
}

GemmArguments forward_product(const TensorType& x, const TensorType& weight) {
  GemmArguments g;
  g.m = row_count(x.shape);
  g.k = g.lda = weight.shape[0];
  g.n = g.ldb = g.ldc = weight.shape[1];
  g.bf16 = weight.dtype == DType::bf16;
  return g;
}

void linear_cpu(const KernelContext& c) {
  GemmArguments g = forward_product(c.inputs[0].type, c.inputs[1].type);
  g.a = c.in<float>(0);
  g.b = c.inputs[1].data;
  g.bias = c.in<float>(2);
  g.c = c.out<float>(0);
  gemm(*c.pool, g, c.work);
}

void linear_cuda(const KernelContext& c) {
  const GemmArguments g = forward_product(c.inputs[0].type, c.inputs[1].type);
  ProductArgs args = product_args(elements_of(c, 0), elements_of(c, 1), results_of(c, 0), g.m, g.n, g.k);
  args.bias = c.in<float>(2), args.is_rounded = g.bf16;
  launch_products(c, args, 1);
}

size_t work_bytes(const NodeTypes& t, int threads) {
  if (refuses_few_outputs(t) == nullptr) return 0;
  return gemm_work_bytes(forward_product(t.input(0), t.input(1)), threads);
}

double flops(const NodeTypes& t) {
  return product_flops(t, 0, 1);
}

// ---- gradient of the input

void infer_backward_input(InferContext& c) {
  c.expect_inputs(2, 2);
  const Shape& weight = expect_linear_weight(c, 1);
  c.output(with_channels(expect_rows(c, 0, "dy", weight[1]), weight[0]));
}

GemmArguments input_product(const TensorType& dy, const TensorType& weight) {
  GemmArguments g;
  g.m = row_count(dy.shape);
  g.k = g.lda = g.ldb = weight.shape[1];
  g.n = g.ldc = weight.shape[0];
  g.b_transposed = true;
  g.bf16 = weight.dtype == DType::bf16;
  return g;
}

void backward_input_cpu(const KernelContext& c) {
  GemmArguments g = input_product(c.inputs[0].type, c.inputs[1].type);
  g.a = c.in<float>(0);
  g.b = c.inputs[1].data;
  g.c = c.out<float>(0);
  gemm(*c.pool, g, c.work);
}

void backward_input_cuda(const KernelContext& c) {
  const GemmArguments g = input_product(c.inputs[0].type, c.inputs[1].type);
  ProductArgs args = product_args(elements_of(c, 0), elements_of(c, 1), results_of(c, 0), g.m, g.n, g.k);
  args.b_row = 1, args.b_column = g.k, args.is_rounded = g.bf16;
  launch_products(c, args, 1);
}

size_t backward_input_work_bytes(const NodeTypes& t, int threads) {
  if (refuses_few_outputs(t) == nullptr) return 0;
  return gemm_work_bytes(input_product(t.input(0), t.input(1)), threads);
}

double backward_input_flops(const NodeTypes& t) {
  return 2.0 * static_cast<double>(t.input(0).shape.count()) * static_cast<double>(t.input(1).shape[0]);
}

// ---- gradients of weight and bias

void infer_backward_weight(InferContext& c) {
  c.expect_inputs(2, 2);
  const TensorType& x = expect_rows(c, 0, "x", -1);
  const TensorType& dy = expect_rows(c, 1, "dy", -1);
  c.expect(with_channels(x, 1) == with_channels(dy, 1), "dy", "the rows of x " + x.text(), dy.text());
  c.output({DType::f32, Shape{x.shape.back(), dy.shape.back()}});
  if (c.attributes<LinearWeightAttributes>().bias) c.output({DType::f32, Shape{dy.shape.back()}});
}

/// Few outputs (a segmenter's head) would leave most of a register tile empty: then the product is taken the
/// other way round and its small result transposed.
bool is_narrow(const Shape& x, const Shape& dy) {
  return 4 * dy.back() <= x.back();
}

GemmArguments weight_product(const Shape& x, const Shape& dy) {
  const Shape &rows = is_narrow(x, dy) ? dy : x, &columns = is_narrow(x, dy) ? x : dy;
  GemmArguments g;
  g.m = g.lda = rows.back();
  g.k = row_count(x);
  g.n = g.ldb = g.ldc = columns.back();
  g.a_transposed = true;
  return g;
}

/// Narrow rows are summed several at a time, as one row of this many floats.
int64_t bias_width(int64_t channels) {
  return channels * std::max<int64_t>(1, 16 / channels);
}

int64_t bias_chunks(int64_t rows, int64_t channels) {
  return chunk_count(rows, kElementGrain / channels + 1);
}

/// Columns are summed per chunk of rows in double, then chunk by chunk.
void sum_rows(ThreadPool& pool, const float* dy, int64_t rows, int64_t channels, double* partial,
              float* dbias) {
  const auto accumulate = SFR_DISPATCH(accumulate_row);
  const int64_t chunks = bias_chunks(rows, channels), width = bias_width(channels);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    double* mine = partial + chunk * width;
    std::fill(mine, mine + width, 0.0);
    for (int64_t i = r.begin * channels; i < r.end * channels; i += width)
      accumulate(dy + i, mine, std::min(width, r.end * channels - i));
  });
  for (int64_t j = 0; j < channels; ++j) {
    double total = 0;
    for (int64_t i = j; i < chunks * width; i += channels) total += partial[i];
    dbias[j] = static_cast<float>(total);
  }
}

size_t product_bytes(const GemmArguments& g, int threads) {
  return (gemm_work_bytes(g, threads) + 63) / 64 * 64;
}

void backward_weight_cpu(const KernelContext& c) {
  const Shape &x = c.inputs[0].type.shape, &dy = c.inputs[1].type.shape;
  const bool narrow = is_narrow(x, dy);
  GemmArguments g = weight_product(x, dy);
  g.a = c.in<float>(narrow ? 1 : 0);
  g.b = c.in<float>(narrow ? 0 : 1);
  g.c = c.out<float>(0);
  if (narrow)
    g.c = reinterpret_cast<float*>(static_cast<char*>(c.work) + product_bytes(g, c.pool->threads()));
  gemm(*c.pool, g, c.work);
  for (int64_t i = 0; narrow && i < g.m * g.n; ++i) c.out<float>(0)[i % g.n * g.m + i / g.n] = g.c[i];
  if (c.outputs.size() > 1)
    sum_rows(*c.pool, c.in<float>(1), g.k, dy.back(), static_cast<double*>(c.work), c.out<float>(1));
}

/// The product is done when the bias is summed: both use the same memory.
size_t backward_weight_work_bytes(const NodeTypes& t, int threads) {
  if (refuses_few_outputs_weight(t) == nullptr) return few_outputs_backward_weight_work_bytes(t);
  const Shape &x = t.input(0).shape, &dy = t.input(1).shape;
  const GemmArguments g = weight_product(x, dy);
  const size_t turned = is_narrow(x, dy) ? static_cast<size_t>(g.m * g.n) * sizeof(float) : 0;
  const size_t sums =
      t.outputs.size() > 1
          ? static_cast<size_t>(bias_chunks(g.k, dy.back()) * bias_width(dy.back())) * sizeof(double)
          : 0;
  return std::max(product_bytes(g, threads) + turned, sums);
}

void backward_weight_cuda(const KernelContext& c) {
  const Shape &x = c.inputs[0].type.shape, &dy = c.inputs[1].type.shape;
  const int64_t m = x.back(), n = dy.back(), k = row_count(x);
  ProductArgs args = product_args(elements_of(c, 0), elements_of(c, 1), results_of(c, 0), m, n, k);
  args.a_row = 1, args.a_column = m;
  launch_long_product(c, args, c.work);
  if (c.outputs.size() > 1) sum_over_rows(c, elements_of(c, 1), k, n, c.out<float>(1), c.work);
}

size_t backward_weight_cuda_work_bytes(const NodeTypes& t) {
  const Shape &x = t.input(0).shape, &dy = t.input(1).shape;
  const int64_t m = x.back(), n = dy.back(), k = row_count(x);
  return std::max(long_product_bytes(m, n, k), t.outputs.size() > 1 ? sum_over_rows_bytes(k, n) : 0);
}

double backward_weight_flops(const NodeTypes& t) {
  return product_flops(t, 0, 1);
}

void gradient(GradientContext& c) {
  const ValueId dy = c.output_gradient(0);
  set_linear_parameter_gradients(c, dy);  // weights first: x can go before dx comes
  if (c.wants(0)) c.set(0, c.add("linear_backward_input", {dy, c.input(1)})[0]);
}

}  // namespace

const Shape& expect_linear_weight(const InferContext& c, size_t i) {
  const TensorType& weight = c.input(i, "weight");
  c.expect(weight.dtype == DType::f32 || weight.dtype == DType::bf16, "weight", "f32 or bf16",
           dtype_name(weight.dtype), ErrorCode::dtype);
  c.expect_rank(i, "weight", 2);
  c.expect(weight.shape.count() > 0, "weight", "at least one element", weight.text());
  return weight.shape;
}

void launch_products(const KernelContext& c, const ProductArgs& args, int64_t batch) {
  launch(c, args.is_rounded ? "products_rounded" : "products",
         product_grid(args.m, args.n, args.parts > 1 ? args.parts : batch), args);
}

void launch_long_product(const KernelContext& c, const ProductArgs& args, void* work) {
  ProductArgs apart = args;
  apart.parts = static_cast<int32_t>(product_parts(args.m, args.n, args.k));
  if (apart.parts > 1) apart.c = {work};
  launch_products(c, apart, 1);
  if (apart.parts > 1)
    sum_over_rows(c, apart.c.elements(), apart.parts, args.m * args.n, static_cast<float*>(args.c.data),
                  static_cast<char*>(work) + parts_bytes(args.m, args.n, apart.parts));
}

size_t long_product_bytes(int64_t m, int64_t n, int64_t k) {
  const int64_t parts = product_parts(m, n, k);
  return parts_bytes(m, n, parts) + (parts > 1 ? sum_over_rows_bytes(parts, m * n) : 0);
}

void set_linear_parameter_gradients(GradientContext& c, ValueId dy) {
  if (c.wants(1)) {
    const auto outputs =
        c.add("linear_backward_weight", {c.input(0), dy}, LinearWeightAttributes{c.wants(2)});
    c.set(1, outputs[0]);
    if (c.wants(2)) c.set(2, outputs[1]);
  } else if (c.wants(2)) {
    c.set(2, c.add("sum_to", {dy}, TargetShapeAttributes{c.type(c.input(2)).shape.extents()})[0]);
  }
}

void register_linear(OpRegistry& registry) {
  OpDef forward = op_definition<NoAttributes>("linear");
  forward.infer = &infer;
  forward.gradient = &gradient;
  forward.cpu = {{"few_outputs", &few_outputs_cpu, &refuses_few_outputs}, {"gemm", &linear_cpu}};
  forward.cuda = {{"tiles", &linear_cuda}};
  forward.bf16_inputs = forward.bf16_outputs = kFirst;
  forward.work_bytes = &work_bytes;
  forward.flops = &flops;
  forward.repeat = Repeat::to_save_memory;
  registry.add(std::move(forward));

  OpDef input = op_definition<NoAttributes>("linear_backward_input");
  input.infer = &infer_backward_input;
  input.cpu = {{"few_outputs", &few_outputs_backward_input_cpu, &refuses_few_outputs},
               {"gemm", &backward_input_cpu}};
  input.cuda = {{"tiles", &backward_input_cuda}};
  input.bf16_inputs = input.bf16_outputs = kFirst;
  input.work_bytes = &backward_input_work_bytes;
  input.flops = &backward_input_flops;
  registry.add(std::move(input));

  OpDef weight = op_definition<LinearWeightAttributes>("linear_backward_weight");
  weight.infer = &infer_backward_weight;
  weight.cpu = {{"few_outputs", &few_outputs_backward_weight_cpu, &refuses_few_outputs_weight},
                {"gemm", &backward_weight_cpu}};
  weight.cuda = {{"tiles", &backward_weight_cuda}};
  weight.bf16_inputs = kFirst | kSecond;
  weight.cuda_work_bytes = &backward_weight_cuda_work_bytes;
  weight.work_bytes = &backward_weight_work_bytes;
  weight.flops = &backward_weight_flops;
  registry.add(std::move(weight));
}

}  // namespace sfr
