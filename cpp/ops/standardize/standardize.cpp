#include "ops/standardize/standardize.h"

#include <cmath>

#include "core/chunks.h"
#include "graph/graph.h"
#include "ops/elementwise/elementwise.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.output(c.input(0, "x"));
}

/// Adds up row(begin, count) over chunks, in order.
template <class F>
double chunked_sum(const KernelContext& c, F row) {
  double partial[kMaxChunks];
  const int64_t count = c.inputs[0].count(), chunks = chunk_count(count, kElementGrain);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    partial[chunk] = row(c.in<float>(0) + r.begin, r.end - r.begin);
  });
  double total = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) total += partial[chunk];
  return total;
}

void standardize_cpu(const KernelContext& c) {
  const int64_t count = c.inputs[0].count(), chunks = chunk_count(count, kElementGrain);
  const double n = static_cast<double>(count);
  const double mean = chunked_sum(c, SFR_DISPATCH(sum_row)) / n;
  const auto deviation = SFR_DISPATCH(squared_deviation_row);
  const double squares =
      chunked_sum(c, [&](const float* x, int64_t part) { return deviation(x, mean, part); });
  const double std = std::sqrt(squares / n), factor = std > 0 ? 1 / std : 0;
  const auto row = SFR_DISPATCH(standardize_row);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    row(c.in<float>(0) + r.begin, mean, factor, c.out<float>(0) + r.begin, r.end - r.begin);
  });
}

}  // namespace

void register_standardize(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("standardize");
  op.infer = &infer;
  op.cpu = {{"two_pass", &standardize_cpu}};
  op.in_place_inputs = {0};
  registry.add(std::move(op));
}

}  // namespace sfr
